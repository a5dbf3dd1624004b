// Which kernel serves a call of attention on a GPU, and why not the fastest. The rules are judged from what
// is passed in, so that they hold for a GPU that is not there.
#pragma once
#include <string>
#include <string_view>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/attention/attention.hpp>
#include <stepvideo/kernels/tile/alignment.hpp>
#include <stepvideo/kernels/tile/kernel_gpu.hpp>

namespace stepvideo {

enum class AttentionKernel {
  warpgroup,  ///< Hopper's warpgroup products and bulk copies: the fastest
  warp,       ///< mma.sync, at about half its speed on Hopper
  plain,      ///< float32 arithmetic without tensor cores: any element, any width
  none        ///< the GPU is too old
};

/// The kernel of a call, and what stands in the way of a faster one. No memory is allocated for it.
struct AttentionPath {
  enum class Obstacle { none, old_gpu, element, head_dim, other_gpu, build, no_keys, scale, alignment };

  AttentionKernel kernel = AttentionKernel::warpgroup;
  Obstacle obstacle = Obstacle::none;  ///< What the faster kernels cannot work with.
  Misalignment bulk_copies;            ///< With Obstacle::alignment
  Misalignment rows;                   ///< What makes the other kernels move rows element by element.
  int compute_capability = 0;
  index_t dim = 0;
  float scale = 0;
  std::string_view element;
};

/// Heads that the tensor cores' kernels are built for.
constexpr bool is_tensor_core_head(index_t dim) {
  return dim == 64 || dim == 128;
}

/// The kernel that serves attention(queries, keys, values, any mask, out, options), whose rules they keep, on
/// `gpu`; or partial_attention, whose `out` is float32 and need not be aligned.
template <Element T, Element Out>
AttentionPath attention_path(const KernelGpu& gpu, const HeadsView<const T>& queries,
                             const HeadsView<const T>& keys, const HeadsView<const T>& values,
                             const HeadsView<Out>& out, const AttentionOptions& options) {
  using Obstacle = AttentionPath::Obstacle;
  AttentionPath path{
      .bulk_copies = first_of(bulk_misalignment("queries", queries), bulk_misalignment("keys", keys),
                              bulk_misalignment("values", values),
                              std::same_as<T, Out> ? bulk_misalignment("out", out) : Misalignment{}),
      .rows = first_of(misalignment("queries", queries), misalignment("keys", keys),
                       misalignment("values", values), misalignment("out", out)),
      .compute_capability = gpu.compute_capability,
      .dim = queries.dim,
      .scale = options.scale_for(queries.dim),
      .element = element_name<T>};
  const auto stands = [&](bool in_the_way, AttentionKernel kernel, Obstacle obstacle) {
    if (in_the_way && path.obstacle == Obstacle::none) path.kernel = kernel, path.obstacle = obstacle;
  };
  stands(gpu.compute_capability < 80, AttentionKernel::none, Obstacle::old_gpu);
  stands(sizeof(T) != 2, AttentionKernel::plain, Obstacle::element);
  stands(!is_tensor_core_head(queries.dim), AttentionKernel::plain, Obstacle::head_dim);
  stands(gpu.compute_capability / 10 != 9, AttentionKernel::warp, Obstacle::other_gpu);
  stands(!gpu.has_code_for_warpgroups, AttentionKernel::warp, Obstacle::build);
  stands(keys.tokens == 0, AttentionKernel::warp, Obstacle::no_keys);
  stands(!(path.scale > 0), AttentionKernel::warp, Obstacle::scale);
  stands(static_cast<bool>(path.bulk_copies), AttentionKernel::warp, Obstacle::alignment);
  return path;
}

/// "warpgroup products", or "mma.sync, because the token stride of keys is 1027 elements, which is no
/// multiple of 16 bytes; rows move element by element, because ...".
inline std::string to_string(const AttentionPath& path) {
  using Obstacle = AttentionPath::Obstacle;
  const auto reason = [&]() -> std::string {
    switch (path.obstacle) {
      case Obstacle::old_gpu:
        return old_gpu_text(path.compute_capability);
      case Obstacle::element:
        return "elements are " + std::string(path.element) + "; tensor cores take bf16 and fp16";
      case Obstacle::head_dim:
        return "heads have " + std::to_string(path.dim) + " channels; tensor cores take 64 and 128";
      case Obstacle::other_gpu:
        return not_hopper_text(path.compute_capability);
      case Obstacle::build:
        return no_warpgroup_code_text();
      case Obstacle::no_keys:
        return "there are no keys";
      case Obstacle::scale:
        return "the scale is " + std::to_string(path.scale) + "; warpgroup products take one above zero";
      case Obstacle::alignment:
        return to_string(path.bulk_copies);
      case Obstacle::none:
        break;
    }
    return {};
  };
  const auto text = [&](const char* kernel) {
    return kernel + (", because " + reason()) +
           (path.rows ? "; rows move element by element, because " + to_string(path.rows) : "");
  };
  switch (path.kernel) {
    case AttentionKernel::warpgroup:
      return "warpgroup products";
    case AttentionKernel::warp:
      return text("mma.sync");
    case AttentionKernel::plain:
      return text("plain float32 arithmetic");
    case AttentionKernel::none:
      break;
  }
  return "no kernel, because " + reason();
}

}  // namespace stepvideo
