// The C ABI on a GPU against itself on the CPU, in bf16, and what it refuses there.
#define BOOST_TEST_MODULE c_abi_device
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <stepvideo_c.h>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/element.hpp>

#include "support/device.cuh"
#include "support/random_input.hpp"

using namespace stepvideo;

using testing::NeedsDevice;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

namespace {

constexpr stepvideo_execution gpu{STEPVIDEO_CUDA, 0, nullptr};

/// The same values for both executions.
class Twin {
 public:
  Twin(Buffer<bf16> values, std::initializer_list<std::int64_t> shape)
      : shape_(shape), host_(std::move(values)), device_(testing::to_device(host_)) {}

  static Twin random(std::initializer_list<std::int64_t> shape, std::mt19937& engine) {
    return {testing::random_normal<bf16>(count(shape), engine), shape};
  }
  static Twin poisoned(std::initializer_list<std::int64_t> shape) {
    return {testing::poisoned<bf16>(count(shape)), shape};
  }

  stepvideo_tensor on_host() const { return tensor(host_.data()); }
  stepvideo_tensor on_device() const { return tensor(device_.data()); }

  /// Every element of the GPU's result is the CPU's but for the roundings of bf16.
  void check_agrees(double bound) const {
    const auto found = testing::to_host(device_);
    for (index_t i = 0; i < host_.size(); ++i) {
      const double expected = float(host_[i]), actual = float(found[i]);
      BOOST_REQUIRE_MESSAGE(
          std::abs(actual - expected) <= bound * (1 + std::abs(expected)),
          "element " << i << " is " << actual << " on the GPU and " << expected << " on the CPU");
    }
  }

 private:
  static std::int64_t count(std::initializer_list<std::int64_t> shape) {
    std::int64_t result = 1;
    for (const std::int64_t extent : shape) result *= extent;
    return result;
  }
  stepvideo_tensor tensor(void* data) const {
    stepvideo_tensor result{data, STEPVIDEO_BF16, static_cast<std::int32_t>(shape_.size()), {}, {}};
    std::int64_t stride = 1;
    for (int i = result.rank - 1; i >= 0; --i) {
      result.shape[i] = shape_[static_cast<std::size_t>(i)];
      result.strides[i] = stride;
      stride *= result.shape[i];
    }
    return result;
  }

  std::vector<std::int64_t> shape_;
  Buffer<bf16> host_;
  Buffer<bf16, Device> device_;
};

/// Calls `function(execution, tensor of each...)` on both.
template <class Function, class... Twins>
void on_both(Function&& function, const Twins&... twins) {
  const auto succeeds = [](stepvideo_status status) {
    BOOST_REQUIRE_MESSAGE(status == STEPVIDEO_OK, stepvideo_last_error());
  };
  succeeds(function(nullptr, twins.on_host()...));
  succeeds(function(&gpu, twins.on_device()...));
}

}  // namespace

BOOST_AUTO_TEST_CASE(attention_agrees_under_both_masks) {
  std::mt19937 engine(1);
  const Twin queries = Twin::random({2, 150, 4, 128}, engine), keys = Twin::random({2, 200, 2, 128}, engine),
             values = Twin::random({2, 200, 2, 128}, engine);
  for (const int mask : {STEPVIDEO_MASK_FULL, STEPVIDEO_MASK_CAUSAL}) {
    const Twin out = Twin::poisoned({2, 150, 4, 128});
    const stepvideo_attention_options options{.mask = mask};
    on_both([&](auto execution, auto q, auto k, auto v,
                auto o) { return stepvideo_attention(execution, &q, &k, &v, &options, &o); },
            queries, keys, values, out);
    out.check_agrees(0.02);
  }
}

BOOST_AUTO_TEST_CASE(fp8_attention_agrees) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, 0));
  if (properties.major != 9) return;
  std::mt19937 engine(2);
  const Twin queries = Twin::random({1, 300, 2, 128}, engine), keys = Twin::random({1, 300, 2, 128}, engine),
             values = Twin::random({1, 300, 2, 128}, engine), out = Twin::poisoned({1, 300, 2, 128});
  on_both(
      [&](const stepvideo_execution* execution, auto q, auto k, auto v, auto o) {
        std::size_t bytes = 0;
        BOOST_REQUIRE(stepvideo_fp8_attention_workspace(execution, &q, &k, &bytes) == STEPVIDEO_OK);
        const auto attend = [&](const auto& room) {
          const stepvideo_status status =
              stepvideo_fp8_attention(execution, &q, &k, &v, nullptr, nullptr, room.data(), bytes, &o);
          if (execution != nullptr) synchronize(device);
          return status;
        };
        const auto size = static_cast<index_t>(bytes);
        return execution == nullptr ? attend(Buffer<std::byte>(size))
                                    : attend(Buffer<std::byte, Device>(device, size));
      },
      queries, keys, values, out);
  out.check_agrees(0.04);
}

BOOST_AUTO_TEST_CASE(norms_agree) {
  std::mt19937 engine(3);
  const Twin in = Twin::random({2, 33, 200}, engine), weight = Twin::random({200}, engine),
             bias = Twin::random({200}, engine), rms = Twin::poisoned({2, 33, 200}),
             layer = Twin::poisoned({2, 33, 200});
  on_both(
      [](auto execution, auto x, auto w, auto o) { return stepvideo_rms_norm(execution, &x, &w, 1e-6f, &o); },
      in, weight, rms);
  rms.check_agrees(0.02);
  on_both([](auto execution, auto x, auto w, auto b,
             auto o) { return stepvideo_layer_norm(execution, &x, &w, &b, nullptr, nullptr, 1e-6f, &o); },
          in, weight, bias, layer);
  layer.check_agrees(0.02);
}

BOOST_AUTO_TEST_CASE(group_norm_agrees) {
  std::mt19937 engine(7);
  const Twin in = Twin::random({2, 9, 11, 64}, engine), weight = Twin::random({64}, engine),
             bias = Twin::random({64}, engine), out = Twin::poisoned({2, 9, 11, 64});
  on_both(
      [](auto execution, auto x, auto w, auto b, auto o) {
        std::size_t bytes = 0;
        BOOST_REQUIRE(stepvideo_group_norm_workspace(execution, &x, &bytes) == STEPVIDEO_OK);
        if (execution == nullptr)
          return stepvideo_group_norm(execution, &x, &w, &b, 32, 1e-6f, STEPVIDEO_SILU, nullptr, 0, &o);
        const Buffer<std::byte, Device> room(device, static_cast<index_t>(bytes));
        return stepvideo_group_norm(execution, &x, &w, &b, 32, 1e-6f, STEPVIDEO_SILU, room.data(), bytes, &o);
      },
      in, weight, bias, out);
  out.check_agrees(0.02);
}

BOOST_AUTO_TEST_CASE(qk_norm_rope_agrees) {
  std::mt19937 engine(4);
  const Twin packed = Twin::random({1, 24, 3, 384}, engine), weight = Twin::random({128}, engine),
             queries = Twin::poisoned({1, 24, 3, 128}), keys = Twin::poisoned({1, 24, 3, 128}),
             values = Twin::poisoned({1, 24, 3, 128});
  on_both(
      [](auto execution, auto p, auto w, auto q, auto k, auto v) {
        stepvideo_rope_table* table = nullptr;
        BOOST_REQUIRE(stepvideo_rope_table_create(execution, 2, 3, 4, 64, 32, 32, &table) == STEPVIDEO_OK);
        const stepvideo_status status =
            stepvideo_qk_norm_rope(execution, &p, &w, &w, 1e-6f, table, 0, &q, &k, &v);
        stepvideo_rope_table_destroy(table);
        return status;
      },
      packed, weight, queries, keys, values);
  queries.check_agrees(0.03);
  keys.check_agrees(0.03);
  values.check_agrees(0);
}

BOOST_AUTO_TEST_CASE(causal_conv3d_agrees) {
  std::mt19937 engine(5);
  const Twin in = Twin::random({4, 9, 10, 16}, engine), weight = Twin::random({24, 16, 3, 3, 3}, engine),
             bias = Twin::random({24}, engine), out = Twin::poisoned({4, 9, 10, 24});
  on_both(
      [](auto execution, auto x, auto w, auto b, auto o) {
        stepvideo_conv_weight* packed = nullptr;
        BOOST_REQUIRE(stepvideo_conv_weight_create(execution, &w, &packed) == STEPVIDEO_OK);
        const stepvideo_status status = stepvideo_causal_conv3d(execution, &x, packed, &b, 1, 0, &o);
        stepvideo_conv_weight_destroy(packed);
        return status;
      },
      in, weight, bias, out);
  out.check_agrees(0.02);
}

BOOST_AUTO_TEST_CASE(memory_and_handles_of_the_other_device_are_refused) {
  std::mt19937 engine(6);
  const Twin in = Twin::random({3, 64}, engine), weight = Twin::random({64}, engine),
             out = Twin::poisoned({3, 64});
  const auto x = in.on_host(), w = weight.on_device(), o = out.on_device();
  BOOST_CHECK(stepvideo_rms_norm(&gpu, &x, &w, 1e-6f, &o) == STEPVIDEO_REFUSED);
  BOOST_CHECK(
      std::strstr(stepvideo_last_error(), "in lies in the memory of the host and the call runs on GPU 0"));
  stepvideo_rope_table* table = nullptr;
  BOOST_REQUIRE(stepvideo_rope_table_create(nullptr, 1, 1, 3, 32, 16, 16, &table) == STEPVIDEO_OK);
  BOOST_CHECK(stepvideo_qk_norm_rope(&gpu, &x, &w, &w, 1e-6f, table, 0, &o, &o, nullptr) ==
              STEPVIDEO_REFUSED);
  BOOST_CHECK(std::strstr(stepvideo_last_error(), "table was made for the CPU and the call runs on GPU 0"));
  stepvideo_rope_table_destroy(table);
  constexpr stepvideo_execution far{STEPVIDEO_CUDA, 4711, nullptr};
  BOOST_CHECK(stepvideo_rms_norm(&far, &w, &w, 1e-6f, &o) == STEPVIDEO_REFUSED);
  BOOST_CHECK(std::strstr(stepvideo_last_error(), "GPU 4711 was asked for"));
}
