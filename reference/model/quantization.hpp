// Which parts of the video transformer compute in fp8: data, so that a checkpoint can have its own.
#pragma once
#include <algorithm>
#include <concepts>
#include <cstddef>
#include <vector>

#include <stepvideo/core/element.hpp>

namespace stepvideo::model {

/// Whether a transformer of T can be told to compute parts of itself in fp8.
template <class T>
inline constexpr bool has_fp8 = std::same_as<T, bf16>;

/// Everything that is not named here stays in the element of the run: the ends of the network, what time and
/// text become, and the products that make the text's keys and values.
struct Quantization {
  /// By block: its products have e4m3 operands with a scale for each row; its self-attention has them with a
  /// scale for each head and 128 tokens, or channel. Empty for none.
  std::vector<bool> products = {}, attention = {};
  /// Steps of a run whose attention stays as it is: while the picture is laid out, and in its last touches.
  int first_steps = 1, last_steps = 1;

  /// All blocks alike.
  static Quantization of(int layers, bool products, bool attention) {
    const auto count = static_cast<std::size_t>(layers);
    return {std::vector<bool>(products ? count : 0, true), std::vector<bool>(attention ? count : 0, true)};
  }

  bool multiplies(int block) const { return is_set(products, block); }
  bool attends(int block) const { return is_set(attention, block); }
  /// Whether blocks attend in fp8 in a step, counted from 0.
  bool attends_in_step(int step, int steps) const { return step >= first_steps && step < steps - last_steps; }
  bool multiplies_anywhere() const { return std::ranges::find(products, true) != products.end(); }
  bool attends_anywhere() const { return std::ranges::find(attention, true) != attention.end(); }

 private:
  static bool is_set(const std::vector<bool>& blocks, int block) {
    const auto index = static_cast<std::size_t>(block);
    return index < blocks.size() && blocks[index];
  }
};

/// What a transformer's memory must have room for.
struct Fp8Parts {
  bool products = false, attention = false;

  static Fp8Parts of(const Quantization& quantization) {
    return {quantization.multiplies_anywhere(), quantization.attends_anywhere()};
  }
};

}  // namespace stepvideo::model
