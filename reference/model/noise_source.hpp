// Weights without files, for measuring: normal noise.
#pragma once
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <stepvideo/kernels/sampler/noise.hpp>

#include "model/parameter.hpp"

namespace stepvideo::model {

/// The expected tensors as normal noise: a matrix scaled by 1 / sqrt(fan in), so that it keeps the magnitude
/// of what it multiplies, a bias by 0.02, a norm's weight by 1. The same seed and tensors give the same
/// weights everywhere.
template <Execution E>
class NoiseSource final : public WeightSource<E> {
 public:
  NoiseSource(E execution, const std::vector<io::ExpectedTensor>& expected, std::uint64_t seed)
      : execution_(execution), seed_(seed) {
    constexpr float bias_scale = 0.02f;
    std::uint64_t first = 0;
    for (const auto& [name, shape] : expected) {
      const std::int64_t count = io::element_count(shape);
      const float scale = shape.size() > 1          ? 1 / std::sqrt(static_cast<float>(count / shape.front()))
                          : name.ends_with(".bias") ? bias_scale
                                                    : 1.0f;
      tensors_.emplace(name, Tensor{shape, first, scale});
      first += static_cast<std::uint64_t>(count);
    }
  }

  const io::Shape& shape(const std::string& name) const override { return tensors_.at(name).shape; }
  void read(const std::string& name, VectorView<float> into) override { fill(name, into); }
  void read(const std::string& name, VectorView<bf16> into) override { fill(name, into); }
  template <Element T>
  void read(const std::string& name, const io::ElementRuns& part, VectorView<T> into) const {
    const Tensor& tensor = tensors_.at(name);
    for (index_t run = 0; run < part.runs; ++run)
      fill_normal(execution_, seed_,
                  tensor.first + static_cast<std::uint64_t>(part.first + run * part.stride), tensor.scale,
                  VectorView<T>{into.data + run * part.count, part.count});
  }

 private:
  struct Tensor {
    io::Shape shape;
    std::uint64_t first;  ///< of its elements in the sequence of all tensors
    float scale;
  };

  template <Element T>
  void fill(const std::string& name, VectorView<T> into) const {
    read(name, {.count = into.size}, into);
  }

  E execution_;
  std::uint64_t seed_;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace stepvideo::model
