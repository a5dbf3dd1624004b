// A model's weights, in the memory of the execution that uses them.
#pragma once
#include <string>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/transfer.hpp>

#include "io/checkpoint.hpp"

namespace stepvideo::model {

/// One tensor of a checkpoint: a vector, or a matrix (rows, everything else).
template <class T, Execution E>
struct Parameter {
  Buffer<T, E> values;
  index_t rows = 0;

  VectorView<const T> vector() const { return values.vector(); }
  MatrixView<const T> matrix() const { return values.matrix(rows, values.size() / rows); }
};

/// Reads parameters of one checkpoint, which must have been validated.
template <Execution E>
struct ParameterLoader {
  E execution;
  const io::Checkpoint& checkpoint;

  template <class T>
  Parameter<T, E> load(const std::string& name) const {
    return {transfer(execution, checkpoint.load<T>(name)), checkpoint.at(name).shape.front()};
  }
};

/// A dense layer with a bias.
template <class T, Execution E>
struct BiasedLinear {
  Parameter<T, E> weight, bias;

  static BiasedLinear load(const ParameterLoader<E>& from, const std::string& name) {
    return {from.template load<T>(name + ".weight"), from.template load<T>(name + ".bias")};
  }
};

}  // namespace stepvideo::model
