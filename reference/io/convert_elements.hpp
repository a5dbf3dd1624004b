// Stored elements to those that are computed in.
#pragma once
#include <cstddef>
#include <limits>
#include <string_view>

#include <stepvideo/core/view.hpp>

#include "io/safetensors.hpp"

namespace stepvideo::io {

/// Of convert_elements: every element is finite.
inline constexpr index_t every_element = std::numeric_limits<index_t>::max();

/// Writes the elements [first, first + count) of `stored`, floating point whose elements stand in a row, in a
/// row at `out` as `kept` (F32, F16, BF16 or F8_E4M3), rounded to nearest even where that narrows (F64 by way
/// of float). `out` is aligned to its elements. Returns the index of the first element that is NaN or
/// infinite as `kept`, or every_element. One thread's work: callers split it.
index_t convert_elements(const TensorRecord& stored, index_t first, index_t count, Dtype kept,
                         std::byte* out);

/// Of `count` elements of `kept` at `values`, the index of the first that is NaN or infinite, or
/// every_element.
index_t find_non_finite(Dtype kept, const std::byte* values, index_t count);

/// Throws RequestError: `tensor` ("FILE: tensor NAME") must be floating point.
void require_floating_point(std::string_view tensor, Dtype stored);
/// Throws RequestError: `tensor` holds what convert_elements found at `index`.
[[noreturn]] void refuse_element(std::string_view tensor, const TensorRecord& stored, index_t index,
                                 Dtype kept);

}  // namespace stepvideo::io
