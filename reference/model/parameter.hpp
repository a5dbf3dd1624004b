// Where a model's weights come from, and how they lie in the memory of the execution that uses them.
#pragma once
#include <string>
#include <vector>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/quantized.hpp>

#include "io/checkpoint.hpp"

namespace stepvideo::model {

/// Fills memory of an execution with a model's tensors, by name: a checkpoint's, as they come through a ring
/// of pinned memory, or random ones.
template <Execution E>
class WeightSource {
 public:
  virtual ~WeightSource() = default;

  virtual const io::Shape& shape(const std::string& name) const = 0;
  /// All elements of a tensor, row-major, as the element type of `into`; on a device in the order of its
  /// stream. Throws RequestError naming the tensor when a value is NaN or infinite or becomes so.
  virtual void read(const std::string& name, VectorView<float> into) = 0;
  virtual void read(const std::string& name, VectorView<bf16> into) = 0;

  /// Whether the tensor is fp8 with a scale for each of its rows, or with one that all rows share.
  virtual bool has_scales(const std::string&) const { return false; }
  /// Such a tensor as it is stored.
  virtual void read_scaled(const std::string& name, const ScaledTokensView&) {
    throw Error("tensor " + name + " has no scales");
  }
};

/// The tensors of a checkpoint in the host's memory.
class CheckpointSource final : public WeightSource<Host> {
 public:
  /// Throws RequestError listing the tensors of `checkpoint` that are not as expected; see
  /// Checkpoint::validate.
  CheckpointSource(const io::Checkpoint& checkpoint, const std::vector<io::ExpectedTensor>& expected,
                   bool allows_extra = false)
      : checkpoint_(checkpoint) {
    checkpoint.validate(expected, allows_extra);
  }
  const io::Shape& shape(const std::string& name) const override { return checkpoint_.at(name).shape; }
  void read(const std::string& name, VectorView<float> into) override { checkpoint_.read(name, into); }
  void read(const std::string& name, VectorView<bf16> into) override { checkpoint_.read(name, into); }
  bool has_scales(const std::string& name) const override { return checkpoint_.has_scales(name); }
  void read_scaled(const std::string& name, const ScaledTokensView& into) override {
    checkpoint_.read_scales(name, into.scales);
    checkpoint_.read_codes(name, {into.values.data, into.values.tokens * into.values.width});
  }
  template <Element T>
  void read(const std::string& name, const io::ElementRuns& part, VectorView<T> into) const {
    checkpoint_.read(name, part, into);
  }

 private:
  const io::Checkpoint& checkpoint_;
};

/// One tensor: a vector, or a matrix (rows, everything else).
template <class T, Execution E>
struct Parameter {
  Buffer<T, E> values;
  index_t rows = 0;

  VectorView<const T> vector() const { return values.vector(); }
  MatrixView<const T> matrix() const { return values.matrix(rows, values.size() / rows); }
};

/// Reads parameters.
template <Execution E>
struct ParameterLoader {
  E execution;
  WeightSource<E>& source;

  template <class T>
  Parameter<T, E> load(const std::string& name) const {
    const io::Shape& shape = source.shape(name);
    Parameter<T, E> parameter{Buffer<T, E>(execution, io::element_count(shape)), shape.front()};
    source.read(name, parameter.values.vector());
    return parameter;
  }
};

/// A dense layer with a bias, which has the type of the result.
template <class T, Execution E, class Result = T>
struct BiasedLinear {
  Parameter<T, E> weight;
  Parameter<Result, E> bias;

  static BiasedLinear load(const ParameterLoader<E>& from, const std::string& name) {
    return {from.template load<T>(name + ".weight"), from.template load<Result>(name + ".bias")};
  }
};

/// What load(name_of) gives for each layer, where name_of(part) is "PREFIX<layer>.PART".
template <class Load>
auto load_layers(int layers, const std::string& prefix, Load&& load) {
  std::vector<decltype(load([](const char*) { return std::string(); }))> loaded;
  for (int layer = 0; layer < layers; ++layer)
    loaded.push_back(load(
        [beginning = prefix + std::to_string(layer) + "."](const char* part) { return beginning + part; }));
  return loaded;
}

}  // namespace stepvideo::model
