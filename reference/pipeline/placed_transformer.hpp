// The transformer at work: one template over the element and the execution, behind the interface that
// commands see.
#pragma once
#include <algorithm>
#include <concepts>
#include <span>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <stepvideo/comm/rank_agreement.hpp>
#include <stepvideo/kernels/sampler/count_non_finite.hpp>
#include <stepvideo/kernels/sampler/flow_schedule.hpp>
#include <stepvideo/kernels/sampler/guided_step.hpp>

#include "interrupt.hpp"
#include "model/transformer.hpp"
#include "pipeline/away.hpp"
#include "pipeline/carried.hpp"
#include "pipeline/denoiser.hpp"
#include "pipeline/memory.hpp"
#include "pipeline/pace.hpp"

namespace stepvideo::pipeline {

/// A failure that all ranks see alike.
class SharedFailure : public Error {
 public:
  using Error::Error;
};

/// Latents, velocities and the text live in the memory of the execution during a run; the host's latents
/// follow after each step, so that what goes wrong later loses nothing. Ranks of several call the same
/// together; each has the whole latents, and all of them the same.
template <Element T, Execution E, Communicator C = OneRank<E>>
class PlacedTransformer final : public Denoiser::Loaded {
 public:
  PlacedTransformer(const place::Place& place, E execution, const model::TransformerConfig& config,
                    model::WeightSource<E>&& source, const Numerics& numerics,
                    std::unique_ptr<model::BlockStore<T, E>> blocks = {}) requires std::same_as<C, OneRank<E>>
      : PlacedTransformer(place, execution, config, std::move(source), numerics, one_rank, Mesh{},
                          std::move(blocks)) {}
  /// The communicator outlives this; see Transformer for `source`.
  PlacedTransformer(const place::Place& place, E execution, const model::TransformerConfig& config,
                    model::WeightSource<E>&& source, const Numerics& numerics, C& communicator, Mesh mesh,
                    std::unique_ptr<model::BlockStore<T, E>> blocks = {})
      : place_(place),
        execution_(execution),
        communicator_(communicator),
        mesh_(mesh),
        rounds_times_(numerics.rounds_as_release),
        transformer_(
            execution, config, std::move(source), communicator, mesh,
            {.angles = numerics.rounds_as_release ? RopeAngles::rounded_to_element : RopeAngles::exact,
             .quantization = numerics.quantization(config.layers)},
            {}, std::move(blocks)) {}

  void forward(const Conditioning& conditioning, LatentsView<const float> latents,
               VectorView<const float> times, LatentsView<float> velocity) override {
    const Buffer<float> told(times.size);
    std::transform(times.data, times.data + times.size, told.begin(),
                   [&](float time) { return told_of(time); });
    const Carried<float, E> at_times(execution_, told.data(), told.size());
    const Carried<float, E> at_latents(execution_, latents.data, latents.size());
    const Buffer<float, E> result(execution_, velocity.size());
    auto text = prepare(conditioning, 0, conditioning.batch, model::any_number_of_bytes);
    transformer_.forward({at_latents.data(), latents.batch, latents.channels, latents.shape},
                         {at_times.data(), times.size}, text,
                         {result.data(), velocity.batch, velocity.channels, velocity.shape});
    settle();
    download(execution_, result.vector(), velocity.data);
  }

  model::StreamedFacts streamed() const override { return transformer_.streamed(); }

  void denoise(const Integration& run, Progress& progress, const StepObserver& observer) override {
    Denoiser::require_guided_pair(run.conditioning);
    progress.stage("denoise", run.settings.steps, [&](Stage& stage) {
      stage.skip(run.steps_done);
      integrate(run, stage, observer);
    });
  }

 private:
  using Transformer = model::Transformer<T, E, model::NoTap, C>;
  using Text = typename Transformer::Text;
  static constexpr bool is_alone = std::same_as<C, OneRank<E>>;
  static inline OneRank<E> one_rank;  // has no state

  /// What the transformer is told of a time.
  float told_of(float time) const { return rounds_times_ ? float(T(time)) : time; }

  /// What activations and text may take, beside latents and velocities of `elements` in all, the rope table
  /// and, on a GPU, what ranks exchange and code that is loaded late.
  std::size_t room_beside_others(index_t elements, std::size_t exchange_bytes) const {
    // Ranks of the host share its memory, and those on one GPU the GPU's.
    const auto sharers =
        static_cast<std::size_t>(std::same_as<E, Host> ? mesh_.ranks() : place_.gpu().sharers);
    const std::size_t room = std::min(available_memory_bytes(execution_), place_.budget_left()) / sharers;
    const std::size_t late_code = (place_.has_budget() ? std::size_t{1} : std::size_t{2}) << 29;
    const std::size_t others =
        std::same_as<E, Host>
            ? 0
            : 8 * static_cast<std::size_t>(elements) * sizeof(float) + exchange_bytes + late_code;
    return room - std::min(room, others);
  }

  /// The text of `count` prompts from the one at `first` on.
  Text prepare(const Conditioning& conditioning, index_t first, index_t count, std::size_t spare_bytes) {
    const auto llm = model::elements_of(conditioning.llm(), first, count),
               clip = model::elements_of(conditioning.clip(), first, count);
    const Carried<float, E> at_llm(execution_, llm.data, count * llm.batch_stride);
    const Carried<float, E> at_clip(execution_, clip.data, count * clip.batch_stride);
    return transformer_.prepare_text(
        over(at_llm, llm), over(at_clip, clip),
        std::span(conditioning.key_lengths)
            .subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)),
        spare_bytes);
  }

  void integrate(const Integration& run, Stage& stage, const StepObserver& observer) {
    const SamplerSettings& settings = run.settings;
    Latents& latents = run.latents;
    const auto guidance = static_cast<float>(settings.cfg_scale);
    // Without guidance the negative prompt has no say.
    const index_t size = latents.size(), prompts = guidance == 1.0f ? 1 : 2;
    const Shard mine = prompts == 1 ? Shard{0, 1} : mesh_.prompts(communicator_.rank());
    const model::TransformerConfig& config = transformer_.config();
    const std::size_t spare_bytes = run.spare_bytes.value_or(
        room_beside_others(prompts * size, transformer_.exchange_bytes(mine.count, latents.shape.tokens())));
    const auto fp8 = model::Fp8Parts::of(transformer_.quantization());
    model::TransformerShare share = model::share_that_fits(
        config, transformer_.share(mine.count, latents.shape.tokens()), sizeof(T), fp8, spare_bytes);
    share.batch = as_rank_0(share.batch), share.together = as_rank_0(share.together);
    const index_t at_a_time = share.batch;
    const std::size_t written_bytes = model::TransformerLayout(config, share, sizeof(T), fp8).bytes();
    const index_t groups = mine.count / at_a_time;
    std::vector<Text> texts;
    for (index_t group = 0; group < groups; ++group)
      texts.push_back(
          prepare(run.conditioning, mine.first + group * at_a_time, at_a_time,
                  (spare_bytes - std::min(spare_bytes, written_bytes)) / static_cast<std::size_t>(groups)));

    const FlowSchedule schedule(settings.steps, static_cast<float>(settings.time_shift));
    const Buffer<float, E> state(execution_, size), inputs(execution_, at_a_time * size);
    const Buffer<float, E> velocities(execution_, prompts * size), times(execution_, at_a_time);
    const Buffer<float> host_velocities(observer ? velocities.size() : 0), host_times(at_a_time);
    const Buffer<std::uint64_t, E> non_finite(execution_, 1);
    const Buffer<std::byte, E> scratch(
        execution_, static_cast<index_t>(count_non_finite_workspace<float>(execution_, size)));
    upload(execution_, latents.values.data(), state.vector());

    int step = run.steps_done;
    Pace<E> pace(execution_);
    model::ForwardOptions options{
        .between_blocks =
            [&](int block) {
              pace.keep([&](const auto& event) { wait_for(event); });
              note_place(step + 1, block + 1);
              throw_if_stopped_at_once(fmt::format("after step {} of {}", step, settings.steps));
            },
        .together = share.together};
    const auto view = [&](float* values, index_t elements) {
      return LatentsView<float>{values, elements, latents.channels, latents.shape};
    };
    float* const own_velocities = velocities.data() + mine.first * size;
    for (; step < settings.steps; ++step) {
      note_place(step + 1, -1);
      if (run.before_step) run.before_step(communicator_.rank(), step + 1);
      agree_on_interrupts();
      throw_if_interrupted(fmt::format("after step {} of {}", step, settings.steps));
      for (index_t element = 0; element < at_a_time; ++element)
        copy(execution_, VectorView<const float>(state.vector()),
             VectorView<float>{inputs.data() + element * size, size});
      std::fill(host_times.begin(), host_times.end(), told_of(schedule.time(step)));
      upload(execution_, host_times.data(), times.vector());
      options.attends_in_fp8 = transformer_.quantization().attends_in_step(step, settings.steps);
      for (index_t group = 0; group < groups; ++group)
        transformer_.forward(view(inputs.data(), at_a_time), times.vector(),
                             texts[static_cast<std::size_t>(group)],
                             view(own_velocities + group * at_a_time * size, at_a_time), options);
      if (prompts > mine.count) gather_prompts({own_velocities, size}, velocities.vector());
      GuidedVelocities guided{.prompt = {velocities.data(), size}, .negative = {}};
      if (prompts > 1) guided.negative = {velocities.data() + size, size};
      settle();
      guided_step(execution_, guided, guidance, schedule.step_size(step), state.vector());
      require_finite(state, non_finite, scratch, step + 1, settings);
      download(execution_, state.vector(), latents.values.data());
      if (observer) {
        download(execution_, velocities.vector(), host_velocities.data());
        const Away away(communicator_);  // while the observer is at work, nobody is late
        observer({step + 1, settings.steps, schedule.sigma(step + 1), guidance, latents,
                  view(host_velocities.data(), prompts)},
                 stage);
      }
      stage.step();
    }
  }

  /// Says to a communicator that records where the model is.
  void note_place(int step, int block) {
    if constexpr (requires { communicator_.recorder(); }) communicator_.recorder().set_place(step, block);
  }
  Group world() const { return mesh_.group(Axis::world, communicator_.rank()); }

  /// Rank 0's value, on every rank.
  index_t as_rank_0(index_t value) {
    if constexpr (!is_alone) communicator_.broadcast(host, world(), VectorView<index_t>{&value, 1}, 0);
    return value;
  }

  /// The execution has done what it was given. Other ranks may fail meanwhile: nobody waits for their GPUs.
  void settle() {
    if constexpr (requires { communicator_.settle(execution_); }) communicator_.settle(execution_);
  }
  template <class Event>
  void wait_for(const Event& event) {
    if constexpr (is_alone)
      event.wait();
    else
      communicator_.wait([&] { return event.is_reached(); });
  }

  /// A signal that came to one rank stops all of them, behind the same step.
  void agree_on_interrupts() {
    if constexpr (!is_alone)
      if (any_rank_stops(communicator_, host, world(), AgreedInterrupts::signal_came()))
        AgreedInterrupts::agree();
  }

  /// Each half of the ranks has one prompt's velocity, at its place in `pair`.
  void gather_prompts(VectorView<const float> mine, VectorView<float> pair) {
    if constexpr (!is_alone) {
      const index_t counts[] = {mine.size, mine.size};
      communicator_.all_gather(execution_, mesh_.group(Axis::guidance, communicator_.rank()), mine, counts,
                               pair);
    }
  }

  void require_finite(const Buffer<float, E>& state, const Buffer<std::uint64_t, E>& non_finite,
                      const Buffer<std::byte, E>& scratch, int step, const SamplerSettings& settings) const {
    count_non_finite<float>(execution_, state.vector(), non_finite.data(), Workspace(scratch));
    std::uint64_t bad = 0;
    download(execution_, non_finite.vector(), &bad);
    if (bad == 0) return;
    throw SharedFailure(fmt::format(
        "latents are NaN or infinite after step {} of {}; a --cfg-scale below {} or --precision fp32 may "
        "keep them finite",
        step, settings.steps, settings.cfg_scale));
  }

  place::Place place_;  // keeps the GPU open
  E execution_;
  C& communicator_;
  Mesh mesh_;
  bool rounds_times_;
  Transformer transformer_;
};

}  // namespace stepvideo::pipeline
