// The arithmetic a run was asked for, and from it to an element type.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include <stepvideo/core/element.hpp>

#include "model/quantization.hpp"
#include "place/place.hpp"

namespace stepvideo::pipeline {

/// fp8 is bf16 but for the products of the transformer's blocks.
enum class Precision { fp32, bf16, fp8 };

constexpr const char* to_string(Precision precision) {
  return precision == Precision::fp32 ? "fp32" : precision == Precision::bf16 ? "bf16" : "fp8";
}
inline std::optional<Precision> parse_precision(std::string_view text) {
  for (const Precision precision : {Precision::fp32, Precision::bf16, Precision::fp8})
    if (text == to_string(precision)) return precision;
  return std::nullopt;
}

/// What runs beside the transformer: the text encoders and the VAE have no fp8 of this kind.
constexpr Precision without_fp8(Precision precision) {
  return precision == Precision::fp8 ? Precision::bf16 : precision;
}

/// Calls `function.template operator()<T>()` with the element type of the precision.
template <class Function>
decltype(auto) with_element(Precision precision, Function&& function) {
  if (precision != Precision::fp32) return function.template operator()<bf16>();
  return function.template operator()<float>();
}

/// The transformer's.
struct Numerics {
  Precision precision = Precision::fp32;
  bool attends_in_fp8 = false;
  /// As the release does in bf16: the time step, RoPE's angles and the first noise are rounded to bf16.
  bool rounds_as_release = false;

  /// The video's to itself, in most steps.
  Precision attention() const { return attends_in_fp8 ? Precision::fp8 : without_fp8(precision); }
  model::Quantization quantization(int layers) const {
    return model::Quantization::of(layers, precision == Precision::fp8, attends_in_fp8);
  }
};

/// How rounds_as_release is named by flags and manifests.
inline constexpr const char* exact_numerics = "exact";
inline constexpr const char* release_numerics = "release";

/// What of a transformer of so many blocks is in fp8, for a summary; empty where nothing is.
std::string fp8_text(const model::Quantization& quantization, int layers);

/// Throws RequestError naming the flag where the place, or as many ranks, cannot compute so.
void require_served(const Numerics& numerics, const place::Place& place, int ranks);

}  // namespace stepvideo::pipeline
