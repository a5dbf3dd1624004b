#define BOOST_TEST_MODULE linear_device
#include <algorithm>
#include <cstdio>
#include <tuple>

#include <stepvideo/kernels/linear/linear.cuh>

#include "kernels/linear/linear_cases.hpp"
#include "kernels/linear/planned.cuh"

using namespace stepvideo;

using testing::NeedsDevice, testing::Planned;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

namespace {

template <class T, class Out>
struct Precision {
  using Element = T;
  using Result = Out;
};
using Precisions = std::tuple<Precision<float, float>, Precision<bf16, bf16>, Precision<fp16, fp16>,
                              Precision<bf16, float>, Precision<fp16, float>>;

/// Random operands on the device, dense.
template <class T, class Out>
struct Operands {
  index_t rows, columns, depth;
  Buffer<T, Device> in, weight;
  Buffer<Out, Device> bias, residual;

  Operands(index_t rows, index_t columns, index_t depth, int seed = 3)
      : rows(rows), columns(columns), depth(depth) {
    std::mt19937 engine(static_cast<unsigned>(seed));
    in = testing::to_device(testing::random_normal<T>(rows * depth, engine));
    weight = testing::to_device(testing::random_normal<T>(columns * depth, engine, 0.05f));
    bias = testing::to_device(testing::random_normal<Out>(columns, engine));
    residual = testing::to_device(testing::random_normal<Out>(rows * columns, engine));
    synchronize(device);  // for calls on other streams
  }
  MatrixView<const T> rows_of_in(index_t first, index_t count) const {
    return MatrixView<const T>::dense(in.data() + first * depth, count, depth);
  }
  /// The rows [first, first + count) of linear, the epilogue being epilogue(first, count).
  template <class EpilogueOf>
  void run(Device execution, index_t first, index_t count, EpilogueOf&& epilogue, Out* out,
           const LinearOptions& options = {}) const {
    linear(execution, rows_of_in(first, count), weight.matrix(columns, depth), epilogue(first, count),
           MatrixView<Out>::dense(out + first * columns, count, columns), options);
  }
  template <class EpilogueOf>
  Buffer<Out> whole(Device execution, EpilogueOf&& epilogue, const LinearOptions& options = {}) const {
    const auto out = testing::to_device(testing::poisoned<Out>(rows * columns), execution);
    run(execution, 0, rows, epilogue, out.data(), options);
    return testing::to_host(out, execution);
  }
};

constexpr auto store = [](index_t, index_t) { return Store{}; };
constexpr auto silu = [](index_t, index_t) { return Activate<Silu>{}; };

/// A call without memory, for asking which algorithm it would get.
MatmulCall call_of(MatmulShape shape) {
  return {.shape = shape,
          .rows = shape.rows,
          .in_stride = shape.depth,
          .weight_stride = shape.depth,
          .residual_stride = shape.columns,
          .out_stride = shape.columns};
}

void print(const char* what, const std::optional<MatmulAlgorithm>& chosen) {
  if (!chosen) return void(std::printf("  %-44s none: a pass over memory\n", what));
  std::printf(
      "  %-44s id %d tile %u stages %u split %d reduction %u swizzle %u custom %u inner %u cluster %u\n",
      what, chosen->id, chosen->tile, chosen->stages, chosen->split_k, chosen->reduction_scheme,
      chosen->swizzle, chosen->custom_option, chosen->inner_shape, chosen->cluster_shape);
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(the_library_multiplies_the_models_shapes_in_one_call, Planned) {
  const auto& on = plans.platform();
  std::printf("compute capability %d.%d, %d multiprocessors, cuBLASLt %lld\n", on.capability_major,
              on.capability_minor, on.multiprocessors, static_cast<long long>(on.library_version));
  using enum MatmulElement;
  using enum MatmulEpilogue;
  const std::tuple<const char*, MatmulShape> shapes[] = {
      {"qkv, bf16", {75'888, 18'432, 6144, bf16, bf16, store}},
      {"projection, bf16", {75'888, 6144, 6144, bf16, bf16, store}},
      {"projection to a float stream", {75'888, 6144, 6144, bf16, fp32, residual}},
      {"feed forward in, bf16, GELU", {75'888, 24'576, 6144, bf16, bf16, gelu}},
      {"feed forward in, fp16, GELU", {75'888, 24'576, 6144, fp16, fp16, gelu}},
      {"feed forward out, bf16", {75'888, 6144, 24'576, bf16, bf16, store}},
      {"feed forward out, bf16, residual", {75'888, 6144, 24'576, bf16, bf16, residual}},
      {"patches, bf16 to float, bias", {75'888, 6144, 64, bf16, fp32, bias}},
      {"velocity, bf16 to float, bias", {75'888, 64, 6144, bf16, fp32, bias}},
      {"text, bf16, bias and GELU", {397, 6144, 6144, bf16, bf16, bias_gelu}},
      {"text, bf16, bias and residual", {397, 6144, 6144, bf16, bf16, bias_residual}},
      {"projection, fp32", {75'888, 6144, 6144, fp32, fp32, store}},
      {"time, fp32, two rows", {2, 36'864, 6144, fp32, fp32, bias}},
  };
  for (const auto& [what, shape] : shapes) {
    const auto chosen = plans.algorithm(call_of(shape));
    print(what, chosen);
    BOOST_CHECK_MESSAGE(chosen, what << ": the library has no algorithm");
  }
}

BOOST_FIXTURE_TEST_CASE_TEMPLATE(single_epilogues_agree_with_the_oracle_on_ragged_shapes, P, Precisions,
                                 Planned) {
  testing::single_epilogues_agree_with_the_oracle<typename P::Element, typename P::Result>(this->execution);
}
BOOST_FIXTURE_TEST_CASE_TEMPLATE(the_residual_may_be_the_result, P, Precisions, Planned) {
  testing::a_residual_may_be_the_result<typename P::Element, typename P::Result>(this->execution);
}
BOOST_FIXTURE_TEST_CASE_TEMPLATE(swiglu_pairs_the_halves_of_the_weight, P, Precisions, Planned) {
  testing::swiglu_pairs_the_halves_of_the_weight<typename P::Element, typename P::Result>(this->execution);
}
BOOST_FIXTURE_TEST_CASE(a_float_result_of_bf16_inputs_is_not_rounded, Planned) {
  testing::a_float_result_of_bf16_inputs_is_not_rounded(execution);
}

BOOST_FIXTURE_TEST_CASE_TEMPLATE(a_share_of_the_rows_gets_the_bits_of_the_whole, P, Precisions, Planned) {
  using T = typename P::Element;
  using Out = typename P::Result;
  const index_t shapes[][3] = {{301, 517, 333}, {640, 512, 1024}, {1000, 264, 6144}, {4097, 6144, 1536}};
  for (const auto& [rows, columns, depth] : shapes) {
    const Operands<T, Out> operands(rows, columns, depth);
    const auto bias = [&](index_t, index_t) { return Bias<Out>{operands.bias.vector()}; };
    const auto gelu = [&](index_t first, index_t count) {
      return chain(bias(first, count), Activate<GeluTanh>{});
    };
    const auto residual = [&, columns = columns](index_t first, index_t count) {
      return Residual<Out>{
          MatrixView<const Out>::dense(operands.residual.data() + first * columns, count, columns)};
    };
    const auto check = [&, rows = rows, columns = columns, depth = depth](const char* name,
                                                                          const auto& epilogue) {
      const auto whole = operands.whole(this->execution, epilogue);
      for (const index_t shares : {2, 3, 8}) {
        const auto out = testing::to_device(testing::poisoned<Out>(rows * columns));
        const index_t share = (rows + shares - 1) / shares;
        for (index_t first = 0; first < rows; first += share)
          operands.run(this->execution, first, std::min(share, rows - first), epilogue, out.data(),
                       {.planned_rows = rows});
        BOOST_CHECK_MESSAGE(testing::same_bits(testing::to_host(out), whole),
                            name << ", " << rows << " x " << columns << " x " << depth << " in " << shares
                                 << " shares has other bits");
      }
    };
    check("store", store);
    check("bias", bias);
    check("bias and GELU", gelu);
    check("SiLU", silu);
    check("residual", residual);
  }
}

BOOST_AUTO_TEST_CASE(products_that_find_room_only_in_parts_have_the_same_bits) {
  const Operands<bf16, bf16> operands(333, 2 * 520, 1024);
  const auto run = [&](index_t rows_at_once) {
    MatmulPlans plans(device, {}, {.products_bytes = static_cast<std::size_t>(rows_at_once) * 1040 * 4});
    const Device execution{.matmuls = &plans};
    const auto out = testing::to_device(testing::poisoned<bf16>(333 * 520));
    linear(execution, operands.rows_of_in(0, 333), operands.weight.matrix(1040, 1024), SwiGlu{},
           out.matrix(333, 520));
    return testing::to_host(out);
  };
  const auto whole = run(333);
  for (const index_t rows : {1, 7, 100, 332}) BOOST_CHECK(testing::same_bits(run(rows), whole));
  MatmulPlans plans(device, {}, {.products_bytes = 1039 * 4});
  BOOST_CHECK_EXCEPTION(
      linear(Device{.matmuls = &plans}, operands.rows_of_in(0, 333), operands.weight.matrix(1040, 1024),
             Activate<Silu>{}, testing::to_device(testing::poisoned<bf16>(333 * 1040)).matrix(333, 1040)),
      RequestError, [](const RequestError& error) {
        return std::string(error.what()).find("products_bytes") != std::string::npos;
      });
}

BOOST_AUTO_TEST_CASE_TEMPLATE(every_run_and_every_handle_gives_the_same_bits, P, Precisions) {
  using Out = typename P::Result;
  const Operands<typename P::Element, Out> operands(301, 768,
                                                    6144);  // small enough to be split along the depth
  Buffer<Out> first;
  for (int handle = 0; handle < 3; ++handle) {
    Planned planned;
    for (int run = 0; run < 20; ++run) {
      auto result = operands.whole(planned.execution, store);
      if (first.size() == 0)
        first = std::move(result);
      else
        BOOST_REQUIRE(testing::same_bits(result, first));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_stream_of_its_own_works_and_its_graph_too) {
  const Operands<bf16, bf16> operands(301, 520, 1024);
  Planned planned;
  const auto expected = operands.whole(planned.execution, store);
  const auto expected_silu = operands.whole(planned.execution, silu);

  const testing::OwnStream stream;
  MatmulPlans plans(stream);
  const Device on_stream{Device(stream).stream, &plans};
  BOOST_CHECK(testing::same_bits(operands.whole(on_stream, store), expected));
  BOOST_CHECK_EXCEPTION(operands.whole(Device{.matmuls = &plans}, store), RequestError,
                        [](const RequestError& error) {
                          return std::string(error.what()).find("another stream") != std::string::npos;
                        });

  // Shapes that these plans meet for the first time while they are being captured.
  const testing::InGraph graph;
  MatmulPlans fresh(graph.stream());
  const auto out = testing::to_device(testing::poisoned<bf16>(301 * 520), graph.stream());
  const auto activated = testing::to_device(testing::poisoned<bf16>(301 * 520), graph.stream());
  testing::run(graph, [&](Device captured) {
    BOOST_CHECK_EXCEPTION(MatmulPlans{captured}, RequestError, [](const RequestError& error) {
      return std::string(error.what()).find("before the capture") != std::string::npos;
    });
    captured.matmuls = &fresh;
    operands.run(captured, 0, 301, store, out.data());
    operands.run(captured, 0, 301, silu, activated.data());
  });
  BOOST_CHECK(testing::same_bits(testing::to_host(out, graph.stream()), expected));
  BOOST_CHECK(testing::same_bits(testing::to_host(activated, graph.stream()), expected_silu));
}

BOOST_FIXTURE_TEST_CASE(the_table_decides_and_what_it_cannot_serve_falls_to_the_library, Planned) {
  const MatmulShape shape{640, 512, 1024, MatmulElement::bf16, MatmulElement::bf16, MatmulEpilogue::store};
  const auto call = call_of(shape);
  const auto first = plans.algorithm(call);
  BOOST_REQUIRE(first);
  auto candidates = plans.candidates(call);
  BOOST_CHECK_GT(candidates.size(), 1u);
  BOOST_CHECK(candidates.front() == *first);
  const Operands<bf16, bf16> operands(640, 512, 1024);
  const auto expected = operands.whole(execution, store);
  std::vector<double> as_doubles(expected.data(), expected.data() + expected.size());
  std::printf("%zu algorithms for %td x %td x %td\n", candidates.size(), shape.rows, shape.columns,
              shape.depth);
  std::shuffle(candidates.begin(), candidates.end(), std::mt19937(3));
  candidates.resize(std::min<std::size_t>(candidates.size(), 40));
  int others = 0;
  for (const auto& wanted : candidates) {
    const MatmulTableRow rows[] = {{plans.platform(), shape, wanted}};
    MatmulPlans tabled(device, rows);
    BOOST_CHECK_EQUAL(tabled.table_rows(), 1u);
    BOOST_CHECK(tabled.algorithm(call) == wanted);
    others += wanted != *first;
    const Device on{.matmuls = &tabled};
    std::vector<float> values;
    const auto result = operands.whole(on, store);
    for (index_t i = 0; i < result.size(); ++i) values.push_back(result.data()[i]);
    testing::check_each<bf16>(values, as_doubles, 16.0, {.float_roundings = 24, .element_roundings = 0.6});
  }
  BOOST_CHECK_GT(others, 0);

  MatmulPlatform elsewhere = plans.platform();
  ++elsewhere.library_version;
  const MatmulTableRow useless[] = {{elsewhere, shape, {.id = 0}}};
  MatmulPlans without(device, useless);
  BOOST_CHECK_EQUAL(without.table_rows(), 0u);
  BOOST_CHECK(without.algorithm(call) == *first);
  const MatmulTableRow impossible[] = {{plans.platform(), shape, {.id = 1'000'000, .tile = 77}}};
  BOOST_CHECK(MatmulPlans(device, impossible).algorithm(call) == *first);
}

BOOST_FIXTURE_TEST_CASE(more_than_2_to_the_31_elements_are_all_written, Planned) {
  const index_t rows = 400'000, columns = 6144, depth = 64;
  const Operands<bf16, bf16> operands(1000, columns, depth);
  const Buffer<bf16, Device> in(device, rows * depth), out(device, rows * columns);
  for (index_t first = 0; first < rows; first += 1000)  // every thousand rows the same
    check(cudaMemcpyAsync(in.data() + first * depth, operands.in.data(), operands.in.size_bytes(),
                          cudaMemcpyDeviceToDevice));
  const auto check_all = [&](const auto& epilogue) {
    const auto expected =
        operands.whole(execution, [&](index_t, index_t) { return epilogue; }, {.planned_rows = rows});
    check(cudaMemsetAsync(out.data(), 0xFF, out.size_bytes()));
    linear(execution, in.matrix(rows, depth), operands.weight.matrix(columns, depth), epilogue,
           out.matrix(rows, columns));
    Buffer<bf16> part(1000 * columns);
    for (index_t first = 0; first < rows; first += 9000) {
      check(cudaMemcpy(part.data(), out.data() + first * columns, part.size_bytes(), cudaMemcpyDeviceToHost));
      BOOST_CHECK_MESSAGE(testing::same_bits(part, expected), "rows from " << first << " differ");
    }
  };
  check_all(Store{});
  check_all(Activate<Silu>{});
}
