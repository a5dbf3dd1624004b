// A look at what a model computes on the way. A model takes a tap as a type and hands it each intermediate
// result under the name of the checkpoint's module that makes it: tap("pos_embed", view), or
// tap("transformer_blocks.", layer, ".attn1", view). Views lie in the memory of the execution and hold their
// values as long as the call; on a device the values are there in stream order.
#pragma once

namespace stepvideo::model {

/// Sees nothing and costs nothing.
struct NoTap {
  template <class... Arguments>
  void operator()(const Arguments&...) const {}
};

}  // namespace stepvideo::model
