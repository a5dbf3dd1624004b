// Epilogues of several neighbouring columns at once on the GPU: what they read beside the product is read as
// packs, where it lies in whole ones.
#pragma once
#include <stepvideo/kernels/tile/epilogue.hpp>
#include <stepvideo/kernels/tile/pack.cuh>

namespace stepvideo {

/// values[i] = epilogue.row(row)(values[i], column + i). `column` is a multiple of `count`, and
/// epilogue_packs_fit has said that packs of so many may be read.
template <int count, Epilogue Finish>
__device__ void finish_pack(const Finish& epilogue, index_t row, index_t column, float (&values)[count]) {
  const auto finish = epilogue.row(row);
#pragma unroll
  for (int i = 0; i < count; ++i) values[i] = finish(values[i], column + i);
}

namespace tile_detail {

template <int count, class T>
__device__ void add_pack(const T* source, float (&values)[count]) {
  float others[count];
  widen_pack(load_pack<count>(source), others);
#pragma unroll
  for (int i = 0; i < count; ++i) values[i] = others[i] + values[i];
}

}  // namespace tile_detail

template <int count, class T>
__device__ void finish_pack(const Residual<T>& epilogue, index_t row, index_t column,
                            float (&values)[count]) {
  tile_detail::add_pack(epilogue.residual.row(row) + column, values);
}
template <int count, class T>
__device__ void finish_pack(const DoubledResidual<T>& epilogue, index_t row, index_t column,
                            float (&values)[count]) {
  tile_detail::add_pack(epilogue.of_row(row) + column, values);
}
template <int count, class First, class Second>
__device__ void finish_pack(const Chain<First, Second>& epilogue, index_t row, index_t column,
                            float (&values)[count]) {
  finish_pack(epilogue.first, row, column, values);
  finish_pack(epilogue.second, row, column, values);
}

/// Whether what the epilogue reads beside the product lies in whole packs of `count`.
template <int count, Epilogue Finish>
bool epilogue_packs_fit(const Finish&) {
  return true;
}
template <int count, class T>
bool epilogue_packs_fit(const Residual<T>& epilogue) {
  return packs_fit<count>(epilogue.residual.data, epilogue.residual.row_stride);
}
template <int count, class T>
bool epilogue_packs_fit(const DoubledResidual<T>& epilogue) {
  return packs_fit<count>(epilogue.residual.data, epilogue.residual.channels);
}
template <int count, class First, class Second>
bool epilogue_packs_fit(const Chain<First, Second>& epilogue) {
  return epilogue_packs_fit<count>(epilogue.first) && epilogue_packs_fit<count>(epilogue.second);
}

}  // namespace stepvideo
