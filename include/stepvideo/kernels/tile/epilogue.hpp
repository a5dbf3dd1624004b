// What a matrix product does to its float results before it stores them. An epilogue fixes a row, and the
// function it returns maps a value and its column to a value: e.row(r)(y, c). Epilogues chain, and cost no
// pass over memory.
#pragma once
#include <concepts>
#include <string>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/view_text.hpp>
#include <stepvideo/kernels/tile/activation.hpp>
#include <stepvideo/kernels/tile/instruction_set.hpp>

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// Maps one product to one result. require_fits() throws RequestError unless it can serve a (rows, columns)
/// result.
template <class Finish>
concept Epilogue = requires(const Finish& epilogue, index_t at) {
  { epilogue.row(at)(1.0f, at) } -> std::convertible_to<float>;
  epilogue.require_fits(at, at);
};

/// Maps two products, `columns` apart, to one result: the weight has twice as many rows as the result
/// columns.
template <class Finish>
concept PairEpilogue = requires(const Finish& epilogue, index_t at) {
  { epilogue.row(at)(1.0f, 1.0f, at) } -> std::convertible_to<float>;
};

/// y
struct Store {
  constexpr auto row(index_t) const {
    return [](float y, index_t) { return y; };
  }
  void require_fits(index_t, index_t) const {}
};

/// y + bias[column]
template <class T>
struct Bias {
  VectorView<const T> bias;

  constexpr auto row(index_t) const {
    return [values = bias.data](float y, index_t column) { return y + float(values[column]); };
  }
  void require_fits(index_t, index_t columns) const {
    require(bias.size == columns, [&] {
      return "the bias has " + std::to_string(bias.size) + " elements and the result " +
             std::to_string(columns) + " columns; they must be equal";
    });
    require(bias.data != nullptr || columns == 0, "the bias has no memory; its data must not be null");
  }
};

/// function(y)
template <class Function>
struct Activate {
  Function
      function{};  // not [[no_unique_address]]: nvcc lays that out differently on the host and on the GPU

  constexpr auto row(index_t) const {
    return [f = function](float y, index_t) { return f(y); };
  }
  void require_fits(index_t, index_t) const {}
};

/// residual + y. The residual may be the result itself.
template <class T>
struct Residual {
  MatrixView<const T> residual;

  constexpr auto row(index_t row) const {
    return [values = residual.row(row)](float y, index_t column) { return float(values[column]) + y; };
  }
  void require_fits(index_t rows, index_t columns) const {
    require(residual.rows == rows && residual.columns == columns, [&] {
      return "the residual is " + shape_text(residual) + " and the result " + extents_text({rows, columns}) +
             "; they must be equal";
    });
    require(residual.data != nullptr || residual.rows == 0 || residual.columns == 0,
            "the residual has no memory; its data must not be null");
  }
};

/// residual + y, of the video with every frame, row and column twice, nearest neighbour, which is never made.
template <class T>
struct DoubledResidual {
  VideoView<const T> residual;

  /// What a row of the result meets.
  constexpr const T* of_row(index_t row) const {
    const index_t width = 2 * residual.width, height = 2 * residual.height;
    const index_t x = row % width, line = row / width, y = line % height, frame = line / height;
    return residual.pixel(frame / 2, y / 2, x / 2);
  }
  constexpr auto row(index_t row) const {
    return [values = of_row(row)](float y, index_t column) { return float(values[column]) + y; };
  }
  void require_fits(index_t rows, index_t columns) const {
    require(8 * residual.pixels() == rows && residual.channels == columns, [&] {
      return "the residual is " + shape_text(residual) + " before it is doubled and the result " +
             extents_text({rows, columns}) + "; an eighth of its pixels and all of its channels work";
    });
    require(residual.data != nullptr || columns == 0 || rows == 0,
            "the residual has no memory; its data must not be null");
  }
};

/// residual + gate[batch element of the row] * y. The residual may be the result itself; `gate` is (batch,
/// columns) and each batch element has `rows_per_batch` consecutive rows.
template <class T>
struct GatedResidual {
  MatrixView<const T> residual;
  MatrixView<const float> gate;
  index_t rows_per_batch = 1;

  constexpr auto row(index_t row) const {
    return [values = residual.row(row), gates = gate.row(row / rows_per_batch)](float y, index_t column) {
      return float(values[column]) + gates[column] * y;
    };
  }
  void require_fits(index_t rows, index_t columns) const {
    Residual<T>{residual}.require_fits(rows, columns);
    require(gate.columns == columns && gate.rows * rows_per_batch == rows, [&] {
      return "the gate is " + shape_text(gate) + " for " + std::to_string(rows_per_batch) +
             " rows each and the result " + extents_text({rows, columns}) +
             "; the columns must be equal and the gates must cover the rows";
    });
    require(gate.data != nullptr || rows == 0 || columns == 0,
            "the gate has no memory; its data must not be null");
  }
};

/// silu(gate) * up, where the weight's rows are [gate | up].
struct SwiGlu {
  constexpr auto row(index_t) const {
    return [](float gate, float up, index_t) { return Silu{}(gate)*up; };
  }
  void require_fits(index_t, index_t) const {}
};

/// second(first(y))
template <Epilogue First, Epilogue Second>
struct Chain {
  First first;
  Second second;

  constexpr auto row(index_t row) const {
    return [f = first.row(row), s = second.row(row)](float y, index_t column) {
      return s(f(y, column), column);
    };
  }
  void require_fits(index_t rows, index_t columns) const {
    first.require_fits(rows, columns);
    second.require_fits(rows, columns);
  }
};

/// The epilogues one after another: chain(Bias{b}, Activate<GeluTanh>{}).
template <Epilogue First>
constexpr First chain(First only) {
  return only;
}
template <Epilogue First, Epilogue... Rest>
constexpr auto chain(First first, Rest... rest) {
  return Chain<First, decltype(chain(rest...))>{first, chain(rest...)};
}

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
