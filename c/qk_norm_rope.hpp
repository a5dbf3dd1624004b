// QK-norm and rotary embedding of either execution behind the C ABI.
#pragma once
#include <memory>
#include <utility>

#include <stepvideo/kernels/rope/qk_norm_rope.hpp>
#include <stepvideo/kernels/rope/rope_table.hpp>

#include "calls.hpp"
#include "handle.hpp"

namespace stepvideo::c_abi {

template <Execution E>
stepvideo_rope_table* new_rope_table(E execution, Place place, LatentShape shape, RopeSplit split) {
  auto table = std::make_shared<RopeTable<E>>(stepvideo::make_rope_table<float>(execution, shape, split));
  const RopeTableView view = table->view();
  return new stepvideo_rope_table{place, std::move(table), view};
}

template <class T, Execution E>
void qk_norm_rope_of(E execution, const QkNormRopeCall& call) {
  RopeTableView table = call.table.view;
  table.first_token = call.first_token;
  const QkNorm<T> norm{call.query_weight.vector<const T>(), call.key_weight.vector<const T>(), call.epsilon};
  QkvOutput<T> out{call.queries.heads<T>(), call.keys.heads<T>()};
  if (call.values.is_given()) out.values = call.values.heads<T>();
  stepvideo::qk_norm_rope<T>(execution, call.packed.heads<const T>(), norm, table, out);
}

}  // namespace stepvideo::c_abi
