// Where the matrices of the video transformer's blocks are while blocks run, one after another.
#pragma once
#include <string>
#include <vector>

#include <stepvideo/core/buffer.hpp>

#include "model/block_slab.hpp"
#include "model/parameter.hpp"

namespace stepvideo::model {

template <class T, Execution E>
class BlockStore {
 public:
  virtual ~BlockStore() = default;
  /// A block's matrices, in the memory of `execution` and filled in its order, until release().
  virtual BlockViews<T> acquire(E execution, int block) = 0;
  /// What `execution` is given from now on reads them no more.
  virtual void release(E execution, int block) = 0;
};

/// All blocks in the memory of the execution.
template <class T, Execution E>
class ResidentBlocks final : public BlockStore<T, E> {
 public:
  /// `source` has, of each matrix, what `share` says.
  ResidentBlocks(E execution, const TransformerConfig& config, const BlockShare& share,
                 WeightSource<E>& source)
      : slab_(config, share, sizeof(T)) {
    for (int block = 0; block < config.layers; ++block) {
      std::byte* const memory = blocks_.emplace_back(execution, static_cast<index_t>(slab_.bytes())).data();
      for (const auto& [name, rows, columns, offset] : slab_.matrices())
        source.read(block_name(block) + name, VectorView<T>{at_offset<T>(memory, offset), rows * columns});
    }
  }

  BlockViews<T> acquire(E, int block) override {
    return slab_.template over<T>(blocks_[static_cast<std::size_t>(block)].data());
  }
  void release(E, int) override {}

 private:
  BlockSlab slab_;
  std::vector<Buffer<std::byte, E>> blocks_;
};

}  // namespace stepvideo::model
