// Where the matrices of a model's layers are while layers run, one after another.
#pragma once
#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <utility>
#include <vector>

#include <stepvideo/core/buffer.hpp>

#include "model/fence.hpp"
#include "model/parameter.hpp"
#include "model/streamed_facts.hpp"
#include "worker.hpp"

namespace stepvideo::model {

/// How each layer of a model lies in one contiguous piece of memory.
template <class S, class E>
concept LayerSlabs = requires(const S fixed, E execution, WeightSource<E>& source, std::byte* memory,
                              Buffer<std::byte, E>& scratch) {
  typename S::Views;
  { fixed.layers() } -> std::same_as<int>;
  { fixed.bytes(0) } -> std::same_as<std::size_t>;
  { fixed.over(0, memory) } -> std::same_as<typename S::Views>;
  // In the order of the execution; the scratch grows to what it needs.
  fixed.fill(execution, source, 0, memory, scratch);
};

template <class Views, Execution E>
class LayerStore {
 public:
  virtual ~LayerStore() = default;
  /// A layer's matrices, in the memory of `execution` and filled in its order, until release().
  virtual Views acquire(E execution, int layer) = 0;
  /// What `execution` is given from now on reads them no more.
  virtual void release(E execution, int layer) = 0;
  virtual StreamedFacts streamed() const { return {}; }
};

/// All layers in the memory of the execution.
template <Execution E, LayerSlabs<E> Slabs>
class ResidentLayers final : public LayerStore<typename Slabs::Views, E> {
 public:
  ResidentLayers(E execution, Slabs slabs, WeightSource<E>& source) : slabs_(std::move(slabs)) {
    Buffer<std::byte, E> scratch;
    for (int layer = 0; layer < slabs_.layers(); ++layer) {
      memory_.emplace_back(execution, static_cast<index_t>(slabs_.bytes(layer)));
      slabs_.fill(execution, source, layer, memory_.back().data(), scratch);
    }
  }

  typename Slabs::Views acquire(E, int layer) override {
    return slabs_.over(layer, memory_[static_cast<std::size_t>(layer)].data());
  }
  void release(E, int) override {}

 private:
  Slabs slabs_;
  std::vector<Buffer<std::byte, E>> memory_;
};

/// Two layers in the memory of the execution: one at work, and the next on its way, in an order of its own.
template <Execution E, LayerSlabs<E> Slabs>
class StreamedLayers final : public LayerStore<typename Slabs::Views, E> {
 public:
  /// `copies` orders what fills the memory, `compute` what reads it. `source` fills in the order of `copies`,
  /// on a thread of its own, which begins with the first layer.
  StreamedLayers(E compute, E copies, Slabs slabs, std::unique_ptr<WeightSource<E>> source)
      : copies_(copies), slabs_(std::move(slabs)), source_(std::move(source)) {
    std::size_t bytes = 0;
    for (int layer = 0; layer < slabs_.layers(); ++layer) bytes = std::max(bytes, slabs_.bytes(layer));
    for (Slot& slot : slots_) {
      slot.memory = Buffer<std::byte, E>(compute, static_cast<index_t>(bytes));
      slot.free.set(compute);  // the memory is there from here on
    }
    fetch(0);
  }
  ~StreamedLayers() override {
    abandon();
    for (Slot& slot : slots_) slot.filled.finish();  // before the memory goes
  }

  typename Slabs::Views acquire(E execution, int layer) override {
    if (layer != coming_) {  // the first, or a pass that ended early
      abandon();
      fetch(layer);
    }
    coming_ = none;
    stalls_.begin(execution);
    arrival_.get();
    at_work_ = next_;
    next_ = 1 - next_;
    slots_[at_work_].filled.wait(execution);
    stalls_.end(execution);
    fetch((layer + 1) % slabs_.layers());
    return slabs_.over(layer, slots_[at_work_].memory.data());
  }
  void release(E execution, int) override { slots_[at_work_].free.set(execution); }

  /// Before a pass and behind it its first layer is coming, and counts.
  StreamedFacts streamed() const override {
    if (coming_ != none) arrival_.wait();
    StreamedFacts facts = facts_;
    facts.stalled_seconds = stalls_.seconds();
    return facts;
  }

 private:
  static constexpr int none = -1;

  struct Slot {
    Buffer<std::byte, E> memory;
    Fence<E> free, filled;
  };

  void fetch(int layer) {
    coming_ = layer;
    arrival_ = worker_.run([this, layer, &slot = slots_[next_]] {
      using Clock = std::chrono::steady_clock;
      slot.free.finish();
      const auto begin = Clock::now();
      slabs_.fill(copies_, *source_, layer, slot.memory.data(), scratch_);
      slot.filled.set(copies_);
      slot.filled.finish();
      ++facts_.layers, facts_.bytes += slabs_.bytes(layer);
      facts_.seconds += std::chrono::duration<double>(Clock::now() - begin).count();
    });
  }
  /// What is coming is not wanted.
  void abandon() {
    if (coming_ != none) arrival_.wait();
    coming_ = none;
  }

  E copies_;
  Slabs slabs_;
  std::unique_ptr<WeightSource<E>> source_;
  Buffer<std::byte, E> scratch_;
  Slot slots_[2];
  int next_ = 0, at_work_ = 0, coming_ = none;
  mutable Stalls<E> stalls_;
  StreamedFacts facts_;  // the worker's while something is coming
  std::future<void> arrival_;
  Worker worker_{device_binder(copies_)};  // ends first
};

}  // namespace stepvideo::model
