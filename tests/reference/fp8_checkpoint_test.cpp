// A checkpoint whose blocks are fp8 with scales: written, loaded, and refused where scales would be left out.
#define BOOST_TEST_MODULE fp8_checkpoint
#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <string>

#include <boost/test/unit_test.hpp>

#include "commands/convert_plan.hpp"
#include "commands/convert_write.hpp"
#include "io/checkpoint.hpp"
#include "model/transformer.hpp"
#include "support/compare.hpp"
#include "support/program.hpp"
#include "support/random_input.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using io::Checkpoint;
using io::Dtype;
using model::Quantization;
namespace fs = std::filesystem;

namespace {

const fs::path golden = STEPVIDEO_TEST_DATA "/golden/dit_tiny";
const fs::path release = golden / "diffusion_pytorch_model.safetensors";
const std::string wo = "transformer_blocks.0.attn1.wo.weight";

model::TransformerConfig config() {
  return model::read_transformer_config(golden / "config.json");
}

void convert(const fs::path& from, const fs::path& to) {
  commands::ConvertRequest request{.inputs = {from}, .output = to, .dtype = Dtype::f8_e4m3};
  Progress progress({.is_quiet = true});
  commands::write_conversion(commands::plan_conversion(request), progress);
}

/// The golden's first prompt through a transformer of these weights.
Buffer<float> velocity(const Checkpoint& weights, const Quantization& quantization) {
  const auto file = Checkpoint::open(golden / "io.safetensors");
  const auto latents = file.load<float>("hidden_states"), times = file.load<float>("timestep"),
             llm = file.load<float>("encoder_hidden_states"),
             clip = file.load<float>("encoder_hidden_states_2");
  model::Transformer<bf16, Host> transformer(host, config(), weights, {.quantization = quantization});
  auto text = transformer.prepare_text(TokensView<const float>::dense(llm.data(), 1, 10, 96),
                                       TokensView<const float>::dense(clip.data(), 1, 5, 64),
                                       std::vector<index_t>{12});
  constexpr LatentShape shape{3, 4, 6};
  auto out = testing::poisoned<float>(4 * shape.tokens());
  transformer.forward({latents.data(), 1, 4, shape}, {times.data(), 1}, text, {out.data(), 1, 4, shape});
  return out;
}

bool same_bits(const Buffer<float>& a, const Buffer<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

/// A copy of the file, of whose tensors `change` makes others.
void rewrite(const fs::path& from, const fs::path& to,
             const std::function<void(std::vector<io::NamedTensor>&)>& change) {
  const auto file = Checkpoint::open(from);
  std::vector<io::NamedTensor> tensors;
  for (const auto& [name, record] : file.tensors())
    tensors.push_back({name, record.dtype, record.shape, record.bytes});
  change(tensors);
  std::ranges::stable_sort(tensors, std::ranges::greater{},
                           [](const io::NamedTensor& tensor) { return io::dtype_bytes(tensor.dtype); });
  io::write_safetensors(to, tensors);
}

auto says(const std::string& part) {
  return [part](const Error& error) {
    BOOST_TEST_MESSAGE(error.what());
    return std::string(error.what()).find(part) != std::string::npos;
  };
}

}  // namespace

BOOST_AUTO_TEST_CASE(matrices_of_blocks_become_fp8_with_a_scale_a_row_and_the_rest_stays) {
  testing::ScratchFolder folder;
  convert(release, folder / "fp8.safetensors");
  const auto before = Checkpoint::open(release), after = Checkpoint::open(folder / "fp8.safetensors");
  int quantized = 0;
  for (const auto& [name, record] : before.tensors()) {
    const auto& other = after.at(name);
    BOOST_CHECK(other.shape == record.shape);
    if (!model::BlockSlab::is_fp8_matrix(name)) {
      BOOST_CHECK_MESSAGE(other.dtype == record.dtype && std::ranges::equal(other.bytes, record.bytes), name);
      BOOST_CHECK(!after.contains(io::scales_of(name)));
      continue;
    }
    ++quantized;
    BOOST_REQUIRE_MESSAGE(after.has_scales(name), name);
    const index_t rows = record.shape[0], columns = record.shape[1];
    Buffer<fp8_e4m3> codes(rows * columns);
    Buffer<float> scales(rows);
    after.read_codes(name, codes.vector());
    after.read_scales(name, scales.vector());
    const auto exact = before.load<float>(name);
    for (index_t i = 0; i < codes.size(); ++i) {
      const float scale = scales[i / columns], value = float(codes[i]) * scale;
      // Half a unit of three bits, or of the smallest; and bf16's rounding before.
      const float allowed = std::max(std::abs(exact[i]) / 15.9f, scale * 0x1p-10f);
      BOOST_REQUIRE_LE(std::abs(value - exact[i]), allowed);
    }
    for (index_t row = 0; row < rows; ++row) {
      const auto* first = codes.data() + row * columns;
      const bool has_largest =
          std::any_of(first, first + columns, [](fp8_e4m3 code) { return std::abs(float(code)) == 448; });
      BOOST_CHECK_MESSAGE(has_largest, name << " row " << row);
    }
  }
  BOOST_CHECK_EQUAL(quantized, 2 * 6);
  BOOST_CHECK_EQUAL(after.tensors().size(), before.tensors().size() + 2 * 6);
}

BOOST_AUTO_TEST_CASE(such_a_checkpoint_gives_the_bits_of_the_one_it_was_made_of) {
  testing::ScratchFolder folder;
  convert(release, folder / "fp8.safetensors");
  const auto before = Checkpoint::open(release), after = Checkpoint::open(folder / "fp8.safetensors");
  const auto in_fp8 = Quantization::of(2, true, false);
  BOOST_CHECK(same_bits(velocity(before, in_fp8), velocity(after, in_fp8)));
  BOOST_CHECK_EXCEPTION(velocity(after, {}), RequestError, says("--precision fp8 on one rank applies them"));
}

BOOST_AUTO_TEST_CASE(one_scale_for_a_tensor_is_applied_to_all_of_its_rows) {
  testing::ScratchFolder folder;
  convert(release, folder / "fp8.safetensors");
  const float scale = 0.25f;
  std::vector<float> each;
  const auto with = [&](const std::string& name, std::vector<float> scales, io::Shape shape) {
    each = std::move(scales);
    rewrite(folder / "fp8.safetensors", folder / name, [&](std::vector<io::NamedTensor>& tensors) {
      for (io::NamedTensor& tensor : tensors)
        if (tensor.name == io::scales_of(wo))
          tensor.shape = shape, tensor.bytes = std::as_bytes(std::span(each));
    });
    return Checkpoint::open(folder / name);
  };
  const auto rows = static_cast<std::size_t>(config().width());
  const auto in_fp8 = Quantization::of(2, true, false);
  const auto of_rows =
      velocity(with("rows.safetensors", std::vector<float>(rows, scale), {config().width()}), in_fp8);
  BOOST_CHECK(same_bits(of_rows, velocity(with("one.safetensors", {scale}, {}), in_fp8)));
  BOOST_CHECK(same_bits(
      of_rows,
      velocity(with("column.safetensors", std::vector<float>(rows, scale), {config().width(), 1}), in_fp8)));
  BOOST_CHECK_EXCEPTION(
      velocity(with("few.safetensors", {1, 2, 3}, {3}), in_fp8), RequestError,
      says("transformer_blocks.0.attn1.wo.weight_scale has shape [3] where one value or 256 are due"));
  BOOST_CHECK_EXCEPTION(velocity(with("zero.safetensors", {0}, {1}), in_fp8), RequestError,
                        says("a scale is above 0"));
}

BOOST_AUTO_TEST_CASE(scales_of_what_is_not_fp8_are_refused_by_name) {
  testing::ScratchFolder folder;
  const std::array<float, 1> scale{0.5f};
  rewrite(release, folder / "extra.safetensors", [&](std::vector<io::NamedTensor>& tensors) {
    tensors.push_back({io::scales_of(wo), Dtype::f32, {1}, std::as_bytes(std::span(scale))});
  });
  BOOST_CHECK_EXCEPTION(velocity(Checkpoint::open(folder / "extra.safetensors"), {}), RequestError,
                        says("attn1.wo.weight_scale\" is not part of this model"));
}

BOOST_AUTO_TEST_CASE(what_cannot_become_fp8_is_refused) {
  testing::ScratchFolder folder;
  convert(release, folder / "fp8.safetensors");
  BOOST_CHECK_EXCEPTION(convert(folder / "fp8.safetensors", folder / "again.safetensors"), RequestError,
                        says("holds no matrix of a video transformer's blocks that is not fp8 already"));
  BOOST_CHECK_EXCEPTION(
      convert(STEPVIDEO_TEST_DATA "/golden/vae_tiny/vae_v2.safetensors", folder / "vae.safetensors"),
      RequestError, says("holds no matrix of a video transformer's blocks"));
  std::vector<float> bad(static_cast<std::size_t>(config().width() * config().width()), 1.0f);
  for (const float value :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    bad[config().width() * 7 + 3] = value;
    rewrite(release, folder / "bad.safetensors", [&](std::vector<io::NamedTensor>& tensors) {
      for (io::NamedTensor& tensor : tensors)
        if (tensor.name == wo) tensor.dtype = Dtype::f32, tensor.bytes = std::as_bytes(std::span(bad));
    });
    BOOST_CHECK_EXCEPTION(convert(folder / "bad.safetensors", folder / "never.safetensors"), RequestError,
                          says("holds NaN or infinity in row 7"));
    BOOST_CHECK(!fs::exists(folder / "never.safetensors"));
  }
}
