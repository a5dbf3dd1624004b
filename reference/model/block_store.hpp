// The matrices of the video transformer's blocks, of the run's element or of fp8, in a LayerStore.
#pragma once
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/kernels/elementwise/quantize_rows.hpp>

#include "model/block_slab.hpp"
#include "model/layer_store.hpp"
#include "model/parameter.hpp"
#include "model/quantization.hpp"

namespace stepvideo::model {

/// A block's matrices.
template <class T>
using AnyBlockViews = std::conditional_t<has_fp8<T>, std::variant<BlockViews<T>, BlockViews<T, fp8_e4m3>>,
                                         std::variant<BlockViews<T>>>;

template <class T, Execution E>
using BlockStore = LayerStore<AnyBlockViews<T>, E>;

/// LayerSlabs of the blocks.
template <class T, Execution E>
class BlockSlabs {
 public:
  using Views = AnyBlockViews<T>;

  /// The source has, of each matrix, what `share` says.
  BlockSlabs(const TransformerConfig& config, const BlockShare& share, Quantization quantization)
      : layers_(config.layers),
        quantization_(std::move(quantization)),
        plain_(config, share, sizeof(T)),
        fp8_(config, share, sizeof(T), true) {}

  int layers() const { return layers_; }
  std::size_t bytes(int block) const { return of(block).bytes(); }

  Views over(int block, std::byte* memory) const {
    if constexpr (has_fp8<T>)
      if (quantization_.multiplies(block)) return fp8_.over<T, fp8_e4m3>(memory);
    return plain_.over<T>(memory);
  }

  void fill(E execution, WeightSource<E>& source, int block, std::byte* memory,
            Buffer<std::byte, E>& scratch) const {
    const BlockSlab& slab = of(block);
    for (const BlockSlab::Matrix& matrix : slab.matrices()) {
      const std::string name = block_name(block) + matrix.name;
      const index_t size = matrix.rows * matrix.columns;
      if (!slab.has_scales(matrix)) {
        source.read(name, VectorView<T>{at_offset<T>(memory, matrix.offset), size});
        continue;
      }
      if (source.has_scales(name)) {
        source.read_scaled(name, BlockSlab::scaled(matrix, memory));
        continue;
      }
      grow(execution, scratch, static_cast<std::size_t>(size) * sizeof(T));
      T* const unquantized = at_offset<T>(scratch.data(), 0);
      source.read(name, VectorView<T>{unquantized, size});
      quantize_rows(execution, TokensView<const T>::dense(unquantized, 1, matrix.rows, matrix.columns),
                    BlockSlab::scaled(matrix, memory));
    }
  }

 private:
  const BlockSlab& of(int block) const { return quantization_.multiplies(block) ? fp8_ : plain_; }

  int layers_;
  Quantization quantization_;
  BlockSlab plain_, fp8_;
};

}  // namespace stepvideo::model
