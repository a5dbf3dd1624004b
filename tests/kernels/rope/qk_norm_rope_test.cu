#define BOOST_TEST_MODULE qk_norm_rope_device
#include <stepvideo/kernels/rope/qk_norm_rope.cuh>

#include "kernels/rope/qk_norm_rope_cases.hpp"
#include "support/device.cuh"

using namespace stepvideo;

using testing::NeedsDevice;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

namespace {

/// A host view of `from`, in the copy of `from` that `to` is.
template <class View, class T>
View moved(View view, const Buffer<T>& from, const Buffer<T, Device>& to) {
  if (view.data != nullptr) view.data = to.data() + (view.data - from.data());
  return view;
}

/// A case's inputs on the GPU.
template <class T>
struct DeviceCase {
  Buffer<T, Device> storage, query_weight, key_weight;
  RopeTable<Device> table;
  HeadsView<const T> packed;

  explicit DeviceCase(const testing::QkCase<T>& c)
      : storage(testing::to_device(c.storage)),
        query_weight(testing::to_device(c.query_weight)),
        key_weight(testing::to_device(c.key_weight)),
        table(make_rope_table<float>(device, c.shape, c.split)),
        packed(moved(c.packed, c.storage, storage)) {}
  QkNorm<T> norm() const { return {query_weight.vector(), key_weight.vector(), 1e-6f}; }
  RopeTableView turns(index_t first_token) const {
    auto view = table.view();
    view.first_token = first_token;
    return view;
  }
};

const auto on_device = []<class T>(testing::QkCase<T>& c) {
  const DeviceCase<T> at(c);
  const auto move = [&](HeadsView<T> view) { return moved(view, c.storage, at.storage); };
  qk_norm_rope(device, at.packed, at.norm(), at.turns(c.first_token),
               QkvOutput<T>{move(c.out.queries), move(c.out.keys), move(c.out.values)});
  copy(device, at.storage, c.storage);
  synchronize(device);
};

const auto quantized_on_device = []<class T>(testing::QkCase<T>& c, testing::QuantizedRoom& queries,
                                             testing::QuantizedRoom& keys, HeadRotation rotation) {
  const DeviceCase<T> at(c);
  const Buffer<fp8_e4m3, Device> values[] = {testing::to_device(queries.values),
                                             testing::to_device(keys.values)};
  const Buffer<float, Device> scales[] = {testing::to_device(queries.scales),
                                          testing::to_device(keys.scales)};
  const auto move = [&](const testing::QuantizedRoom& room, int part) {
    return QuantizedHeads<fp8_e4m3>{moved(room.view.values, room.values, values[part]),
                                    moved(room.view.scales, room.scales, scales[part])};
  };
  qk_norm_rope(device, at.packed, at.norm(), at.turns(c.first_token),
               QuantizedQkOutput{move(queries, 0), move(keys, 1), rotation});
  copy(device, values[0], queries.values), copy(device, values[1], keys.values);
  copy(device, scales[0], queries.scales), copy(device, scales[1], keys.scales);
  synchronize(device);
};

}  // namespace

BOOST_AUTO_TEST_CASE(float_agrees_with_the_oracle) {
  testing::qk_norm_rope_agrees_with_its_oracle<float>(on_device, 2e-6, 60);
}
BOOST_AUTO_TEST_CASE(bf16_agrees_with_the_oracle) {
  testing::qk_norm_rope_agrees_with_its_oracle<bf16>(on_device, 6e-3, 120);
}
BOOST_AUTO_TEST_CASE(quantized_float_agrees_with_the_oracle) {
  testing::quantized_qk_agrees_with_its_oracle<float>(quantized_on_device, 1e-6, 30);
}
BOOST_AUTO_TEST_CASE(quantized_bf16_agrees_with_the_oracle) {
  testing::quantized_qk_agrees_with_its_oracle<bf16>(quantized_on_device, 1e-2, 60);
}
BOOST_AUTO_TEST_CASE(runs_of_blocks_do_not_mix) {
  testing::runs_of_blocks_do_not_mix(quantized_on_device);
}
BOOST_AUTO_TEST_CASE(blocks_of_zeros) {
  testing::a_block_of_zeros_has_the_least_scale(quantized_on_device);
}

BOOST_AUTO_TEST_CASE(fifty_runs_give_the_same_bits) {
  std::mt19937 engine(65);
  const auto original =
      testing::random_qk_case<bf16>(engine, 128, testing::QkLayout::head_major, true, 300, 3);
  std::vector<Buffer<bf16>> results;
  std::vector<Buffer<fp8_e4m3>> bytes;
  for (int run = 0; run < 50; ++run) {
    std::mt19937 again(65);
    auto c = testing::random_qk_case<bf16>(again, 128, testing::QkLayout::head_major, true, 300, 3);
    testing::QuantizedRoom queries(c, testing::QkLayout::head_major), keys(c, testing::QkLayout::head_major);
    on_device(c);
    quantized_on_device(c, queries, keys, HeadRotation::hadamard);
    results.push_back(std::move(c.storage)), bytes.push_back(std::move(keys.values));
    BOOST_REQUIRE(std::memcmp(results[0].data(), results.back().data(), results[0].size_bytes()) == 0);
    BOOST_REQUIRE(std::memcmp(bytes[0].data(), bytes.back().data(), bytes[0].size_bytes()) == 0);
  }
}
