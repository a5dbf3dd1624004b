// What a GPU's matrix products need beside their operands: the library's handle, its workspace, and for each
// shape an algorithm that no timing of this run has chosen.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <stepvideo/core/device.cuh>
#include <stepvideo/kernels/linear/matmul_algorithm.cuh>
#include <stepvideo/kernels/linear/matmul_call.cuh>

namespace stepvideo {

/// Device memory that plans hold, in bytes.
struct MatmulMemory {
  /// The library's workspace. What fits it decides which algorithms there are: with another size, other bits.
  /// 32 MiB is what cuBLAS gives itself on Hopper.
  std::size_t workspace_bytes = std::size_t{32} << 20;
  /// Room for float32 products on their way to an epilogue that the library does not have. More rows than fit
  /// go in parts.
  std::size_t products_bytes = std::size_t{64} << 20;
};

/// One stream's plans; Device::matmuls points to them, and they must outlive the calls. The algorithm is a
/// function of shape, strides, element types, epilogue, chip and library version: that of the table's row for
/// them, else the library's first proposal. Algorithms whose sums have no fixed order, or pass through a type
/// narrower than float32, are never taken; nor is TF32. The first call of a shape asks the library, in the
/// middle of a graph's capture as well; later ones find the answer here. Thread-safe.
class MatmulPlans {
 public:
  /// On the current CUDA device, for device.stream. Throws RequestError where that stream is being captured,
  /// since memory is allocated here; Error where there is none, or no cuBLASLt for this GPU.
  explicit MatmulPlans(Device device, std::span<const MatmulTableRow> table = {},
                       const MatmulMemory& memory = {})
      : device_{device.stream},
        ordinal_(current_device(device)),
        platform_(platform_of_current_device()),
        handle_(make_handle()),
        workspace_(device_, static_cast<index_t>(memory.workspace_bytes)),
        products_(device_, static_cast<index_t>(memory.products_bytes / sizeof(float))) {
    for (const auto& row : table)
      if (row.platform == platform_) table_.emplace(row.shape, row.algorithm);
  }
  MatmulPlans(const MatmulPlans&) = delete;
  MatmulPlans& operator=(const MatmulPlans&) = delete;

  const MatmulPlatform& platform() const { return platform_; }
  /// How many rows of the table are for this platform.
  std::size_t table_rows() const { return table_.size(); }
  VectorView<float> products() const { return products_.vector(); }

  /// Throws RequestError unless `device` is the stream and the GPU that these plans were made for.
  void require_serves(Device device) const {
    require(device.stream == device_.stream, [] {
      return "linear: the Device's plans were made for another stream, with which they share a workspace; "
             "make "
             "MatmulPlans for each stream";
    });
    int current = 0;
    check(cudaGetDevice(&current));
    require(current == ordinal_, [&] {
      return "linear: the Device's plans were made on GPU " + std::to_string(ordinal_) + " and GPU " +
             std::to_string(current) + " is current; make MatmulPlans for each GPU";
    });
  }

  /// The algorithm that would multiply `call`; nothing where the library has none.
  std::optional<MatmulAlgorithm> algorithm(const MatmulCall& call) {
    const auto& plan = plan_of(call);
    return plan ? std::optional(linear_detail::attributes_of(plan->algorithm)) : std::nullopt;
  }

  /// What the library proposes for `call`, the first first: what a search tries first.
  std::vector<MatmulAlgorithm> proposed(const MatmulCall& call) const {
    return search_of(key_of(call)).proposed();
  }
  /// All that a search may try for `call`, the proposals first.
  std::vector<MatmulAlgorithm> candidates(const MatmulCall& call) const {
    return search_of(key_of(call)).candidates();
  }

  /// Enqueues the product, or returns false, having done nothing, where the library has no algorithm for its
  /// shape, alignment and epilogue.
  bool multiply(const MatmulCall& call) {
    const auto& plan = plan_of(call);
    if (plan) enqueue(call, *plan);
    return plan.has_value();
  }
  /// The same with an algorithm of the caller's, as a search for the fastest makes them; false where the
  /// library does not take it.
  bool multiply_with(const MatmulAlgorithm& algorithm, const MatmulCall& call) {
    const auto plan = search_of(key_of(call)).restore(algorithm);
    if (plan) enqueue(call, *plan);
    return plan.has_value();
  }

 private:
  using Plan = std::optional<linear_detail::ChosenAlgorithm>;
  struct Key {
    MatmulShape shape;
    linear_detail::MatmulLayout layout;
    auto operator<=>(const Key&) const = default;
  };
  struct DestroyHandle {
    void operator()(cublasLtContext* handle) const { cublasLtDestroy(handle); }
  };
  using Handle = std::unique_ptr<cublasLtContext, DestroyHandle>;

  static int current_device(Device device) {
    cudaStreamCaptureStatus capture{};
    check(cudaStreamIsCapturing(device.stream, &capture));
    require(capture == cudaStreamCaptureStatusNone, [] {
      return "MatmulPlans: the stream is being captured into a graph, and plans allocate memory; make them "
             "before the capture begins";
    });
    int current = 0;
    check(cudaGetDevice(&current));
    return current;
  }
  static MatmulPlatform platform_of_current_device() {
    return {device_attribute(cudaDevAttrComputeCapabilityMajor),
            device_attribute(cudaDevAttrComputeCapabilityMinor),
            device_attribute(cudaDevAttrMultiProcessorCount),
            static_cast<std::int64_t>(cublasLtGetVersion())};
  }
  static Handle make_handle() {
    cublasLtHandle_t handle = nullptr;
    check(cublasLtCreate(&handle));
    return Handle(handle);
  }

  static Key key_of(const MatmulCall& call) { return {call.shape, linear_detail::MatmulLayout::of(call)}; }
  linear_detail::AlgorithmSearch search_of(const Key& key) const {
    return {handle_.get(), key.shape, key.layout, workspace_.size_bytes()};
  }
  const Plan& plan_of(const MatmulCall& call) {
    const Key key = key_of(call);
    const std::lock_guard lock(mutex_);
    const auto known = plans_.find(key);  // references into a map stay valid
    return known != plans_.end() ? known->second : plans_.emplace(key, choose(key)).first->second;
  }
  Plan choose(const Key& key) const {
    const auto search = search_of(key);
    if (const auto row = table_.find(key.shape); row != table_.end())
      if (auto known = search.restore(row->second)) return known;
    return search.first_proposal();
  }
  void enqueue(const MatmulCall& call, const linear_detail::ChosenAlgorithm& chosen) const {
    const float one = 1, beta = call.adds_residual() ? 1 : 0;
    linear_detail::MatmulDescriptors with(call.shape, call.rows, linear_detail::MatmulLayout::of(call),
                                          {call.bias, call.in_scales, call.weight_scales});
    check(cublasLtMatmul(handle_.get(), with.product(), &one, call.weight, with.weight(), call.in, with.in(),
                         &beta, call.adds_residual() ? call.residual : call.out, with.residual(), call.out,
                         with.out(), &chosen.algorithm, workspace_.data(), workspace_.size_bytes(),
                         device_.stream));
  }

  Device device_;
  int ordinal_;
  MatmulPlatform platform_;
  Handle handle_;
  Buffer<std::byte, Device> workspace_;
  Buffer<float, Device> products_;
  std::map<MatmulShape, MatmulAlgorithm> table_;
  std::mutex mutex_;
  std::map<Key, Plan> plans_;
};

}  // namespace stepvideo
