#include "argument.hpp"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <limits>
#include <numeric>

#include <stepvideo/core/view_text.hpp>

namespace stepvideo::c_abi {

namespace {

struct ElementFacts {
  const char* name = nullptr;
  index_t bytes = 0;
};

ElementFacts facts_of(std::int32_t element) {
  switch (element) {
    case STEPVIDEO_FP32:
      return {"fp32", 4};
    case STEPVIDEO_BF16:
      return {"bf16", 2};
    case STEPVIDEO_FP16:
      return {"fp16", 2};
    case STEPVIDEO_INT64:
      return {"int64", 8};
    default:
      return {};
  }
}

bool is_empty(const std::int64_t* shape, int rank) {
  return std::find(shape, shape + rank, 0) != shape + rank;
}

std::string list_text(const std::int64_t* values, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += (i == 0 ? "(" : ", ") + std::to_string(values[i]);
  return text + ")";
}

}  // namespace

std::string element_text(std::int32_t element) {
  const char* name = facts_of(element).name;
  return name != nullptr ? name : "of an unknown element, number " + std::to_string(element);
}

void Argument::refuse(const std::string& fact) const {
  throw RequestError(std::string(call_) + ": the tensor " + name_ + fact);
}

const stepvideo_tensor& Argument::tensor() const {
  if (tensor_ == nullptr) refuse(" is a null pointer; it must be given");
  const auto& [data, element, rank, shape, strides] = *tensor_;
  const index_t bytes = facts_of(element).bytes;
  if (bytes == 0) refuse(" is " + element_text(element) + "; the elements are those of stepvideo_element");
  if (rank < 1 || rank > STEPVIDEO_MAX_RANK)
    refuse(" has a rank of " + std::to_string(rank) + "; ranks are 1 to " +
           std::to_string(STEPVIDEO_MAX_RANK));
  // The span from the first element to behind the last, which must be addressable.
  const bool has_elements = !is_empty(shape, rank);
  bool overflows = false;
  index_t span = 1, count = 1;
  for (int i = 0; i < rank; ++i) {
    if (shape[i] < 0) refuse(" has the shape " + list_text(shape, rank) + "; extents are 0 or more");
    if (strides[i] < 0)
      refuse(" has the strides " + list_text(strides, rank) + "; strides are 0 or more, and a copy has such");
    index_t reach = 0;
    overflows |= __builtin_mul_overflow(shape[i], count, &count);
    overflows |= shape[i] > 1 && __builtin_mul_overflow(shape[i] - 1, strides[i], &reach);
    overflows |= __builtin_add_overflow(span, reach, &span);
  }
  constexpr index_t most = std::numeric_limits<index_t>::max() / 8;
  if (has_elements && (overflows || span > most / bytes || count > most / bytes))
    refuse(" has the shape " + list_text(shape, rank) + " with the strides " + list_text(strides, rank) +
           ", which no memory holds");
  if (has_elements && data == nullptr)
    refuse(" has the shape " + list_text(shape, rank) +
           " and no data; a tensor of so many elements needs some");
  if (reinterpret_cast<std::uintptr_t>(data) % static_cast<std::uintptr_t>(bytes) != 0)
    refuse(" has data that are not aligned to its elements of " + std::to_string(bytes) +
           " bytes; a copy is");
#ifdef STEPVIDEO_C_WITH_CUDA
  if (has_elements && place_.gpu) require_memory_of_gpu(call_, name_, data, *place_.gpu);
#endif
  return *tensor_;
}

const stepvideo_tensor& Argument::judged(stepvideo_element wanted, bool is_written, int least_rank,
                                         int most_rank, const char* layout, Last last) const {
  const auto& [data, element, rank, shape, strides] = tensor();
  if (rank < least_rank || rank > most_rank)
    refuse(" has the shape " + list_text(shape, rank) + "; it must be " + layout);
  if (element != wanted) refuse(" is " + element_text(element) + "; here it must be " + element_text(wanted));
  if (is_empty(shape, rank)) return *tensor_;  // strides over nothing may be anything
  if (last == Last::dense && shape[rank - 1] > 1 && strides[rank - 1] != 1)
    refuse(" has the strides " + list_text(strides, rank) +
           "; the last extent must be dense, with a stride of 1, and a contiguous copy is");
  for (int i = 0; is_written && i < rank; ++i)
    if (shape[i] > 1 && strides[i] == 0)
      refuse(" has the shape " + list_text(shape, rank) + " with the strides " + list_text(strides, rank) +
             "; elements of a result have places of their own, so that strides are above zero");
  return *tensor_;
}

void Argument::require_dense() const {
  const auto& [data, element, rank, shape, strides] = *tensor_;
  if (is_empty(shape, rank)) return;
  index_t expected = 1;
  for (int i = rank - 1; i >= 0; --i) {
    if (shape[i] > 1 && strides[i] != expected)
      refuse(" has the shape " + list_text(shape, rank) + " with the strides " + list_text(strides, rank) +
             "; it must be dense, and a contiguous copy is");
    expected *= shape[i];
  }
}

index_t Argument::elements() const {
  const auto& [data, element, rank, shape, strides] = *tensor_;
  if (is_empty(shape, rank)) return 0;  // the others may be too large to multiply
  return std::accumulate(shape, shape + rank, index_t{1}, std::multiplies<>{});
}

}  // namespace stepvideo::c_abi
