// The C ABI: names the arguments, chooses the execution, turns what is thrown into statuses.
#include "stepvideo_c.h"

#include <cstdio>
#include <string>

#include <stepvideo/core/error.hpp>

#include "boundary.hpp"
#include "calls.hpp"
#include "handle.hpp"

using namespace stepvideo;
using c_abi::Argument;
using c_abi::guarded;
using c_abi::Place;

namespace {

thread_local char last_error[1024] = "";

/// Names the tensors of one call.
struct Call {
  const char* name;
  const stepvideo_execution* execution;
  Place place = c_abi::place_of(name, execution);
  Argument operator()(const char* argument, const stepvideo_tensor* tensor) const {
    return {name, argument, place, tensor};
  }
};

c_abi::AttentionCall attention_call(const Call& of, const stepvideo_tensor* queries,
                                    const stepvideo_tensor* keys, const stepvideo_tensor* values,
                                    const stepvideo_attention_options* given, const stepvideo_tensor* out) {
  const stepvideo_attention_options options = given != nullptr ? *given : stepvideo_attention_options{};
  return {.queries = of("queries", queries),
          .keys = of("keys", keys),
          .values = of("values", values),
          .key_lengths = of("key_lengths", options.key_lengths),
          .log_sum_exp = of("log_sum_exp", options.log_sum_exp),
          .out = of("out", out),
          .options = options};
}

/// Throws RequestError unless the handle is one, of the execution of the call.
template <class Handle>
const Handle& require_here(const Call& call, const char* name, const Handle* handle) {
  require(handle != nullptr, [&] {
    return std::string(call.name) + ": " + name + " is a null pointer; its ..._create makes one";
  });
  require(handle->place == call.place, [&] {
    return std::string(call.name) + ": " + name + " was made for " + to_string(handle->place) +
           " and the call runs on " + to_string(call.place) + "; one made there works";
  });
  return *handle;
}

template <class Answer>
void require_room(const char* call, const char* name, const Answer* place) {
  require(place != nullptr,
          [&] { return std::string(call) + ": " + name + " is a null pointer; the answer needs a place"; });
}

template <class Handle>
void destroy(Handle* handle) noexcept {
  if (handle == nullptr) return;
#ifdef STEPVIDEO_C_WITH_CUDA
  if (handle->place.gpu) c_abi::wait_for_gpu(*handle->place.gpu);
#endif
  delete handle;
}

}  // namespace

namespace stepvideo::c_abi {

stepvideo_status keep(stepvideo_status status, const char* sentence) noexcept {
  std::snprintf(last_error, sizeof(last_error), "%s", sentence);
  return status;
}

Place place_of(const char* call, const stepvideo_execution* execution) {
  if (execution == nullptr || execution->device == STEPVIDEO_CPU) return {};
  require(execution->device == STEPVIDEO_CUDA, [&] {
    return std::string(call) + ": device " + std::to_string(execution->device) +
           " is none of stepvideo_device; 0 is the CPU and 1 a GPU";
  });
  require(stepvideo_serves_cuda() != 0, [&] {
    return std::string(call) +
           ": a GPU was asked for and this library was built without CUDA; the CPU works, or a "
           "library built with nvcc";
  });
  return {.gpu = execution->ordinal};
}

}  // namespace stepvideo::c_abi

const char* stepvideo_version(void) {
  return STEPVIDEO_C_VERSION;
}

int stepvideo_serves_cuda(void) {
#ifdef STEPVIDEO_C_WITH_CUDA
  return 1;
#else
  return 0;
#endif
}

const char* stepvideo_last_error(void) {
  return last_error;
}

stepvideo_status stepvideo_attention(const stepvideo_execution* execution, const stepvideo_tensor* queries,
                                     const stepvideo_tensor* keys, const stepvideo_tensor* values,
                                     const stepvideo_attention_options* options,
                                     const stepvideo_tensor* out) {
  return guarded([&] {
    const Call of{"attention", execution};
    const auto call = attention_call(of, queries, keys, values, options, out);
    c_abi::on(of.name, of.place, execution, [&](auto where) { c_abi::attention(where, call); });
  });
}

stepvideo_status stepvideo_fp8_attention_workspace(const stepvideo_execution* execution,
                                                   const stepvideo_tensor* queries,
                                                   const stepvideo_tensor* keys, size_t* bytes) {
  return guarded([&] {
    const Call of{"fp8_attention_workspace", execution};
    require_room(of.name, "bytes", bytes);
    c_abi::on(of.name, of.place, execution, [&](auto where) {
      *bytes = c_abi::fp8_attention_workspace(where, of("queries", queries), of("keys", keys));
    });
  });
}

stepvideo_status stepvideo_fp8_attention(const stepvideo_execution* execution,
                                         const stepvideo_tensor* queries, const stepvideo_tensor* keys,
                                         const stepvideo_tensor* values,
                                         const stepvideo_attention_options* options,
                                         const stepvideo_fp8_options* fp8, void* workspace,
                                         size_t workspace_bytes, const stepvideo_tensor* out) {
  return guarded([&] {
    const Call of{"fp8_attention", execution};
    const c_abi::Fp8AttentionCall call{attention_call(of, queries, keys, values, options, out),
                                       fp8 != nullptr ? *fp8 : stepvideo_fp8_options{}, workspace,
                                       workspace_bytes};
    c_abi::on(of.name, of.place, execution, [&](auto where) { c_abi::fp8_attention(where, call); });
  });
}

stepvideo_status stepvideo_rope_table_create(const stepvideo_execution* execution, int32_t frames,
                                             int32_t height, int32_t width, int32_t split_frame,
                                             int32_t split_row, int32_t split_column,
                                             stepvideo_rope_table** table) {
  constexpr const char* call = "rope_table_create";
  return guarded([&] {
    require_room(call, "table", table);
    constexpr int largest = VideoShape::largest_extent;
    for (const int extent : {frames, height, width, split_frame, split_row, split_column})
      require(extent >= 1 && extent <= largest, [&] {
        return std::string(call) + ": an extent or a part of the split is " + std::to_string(extent) +
               "; 1 to " + std::to_string(largest) + " work";
      });
    c_abi::on(call, c_abi::place_of(call, execution), execution, [&](auto where) {
      *table = c_abi::make_rope_table(where, {frames, height, width}, {split_frame, split_row, split_column});
    });
  });
}

void stepvideo_rope_table_destroy(stepvideo_rope_table* table) {
  destroy(table);
}

stepvideo_status stepvideo_qk_norm_rope(const stepvideo_execution* execution, const stepvideo_tensor* packed,
                                        const stepvideo_tensor* query_weight,
                                        const stepvideo_tensor* key_weight, float epsilon,
                                        const stepvideo_rope_table* table, int64_t first_token,
                                        const stepvideo_tensor* queries, const stepvideo_tensor* keys,
                                        const stepvideo_tensor* values) {
  return guarded([&] {
    const Call of{"qk_norm_rope", execution};
    const c_abi::QkNormRopeCall call{of("packed", packed),
                                     of("query_weight", query_weight),
                                     of("key_weight", key_weight),
                                     epsilon,
                                     require_here(of, "table", table),
                                     first_token,
                                     of("queries", queries),
                                     of("keys", keys),
                                     of("values", values)};
    c_abi::on(of.name, of.place, execution, [&](auto where) { c_abi::qk_norm_rope(where, call); });
  });
}

stepvideo_status stepvideo_rms_norm(const stepvideo_execution* execution, const stepvideo_tensor* in,
                                    const stepvideo_tensor* weight, float epsilon,
                                    const stepvideo_tensor* out) {
  return guarded([&] {
    const Call of{"rms_norm", execution};
    const c_abi::RmsNormCall call{of("in", in), of("weight", weight), epsilon, of("out", out)};
    c_abi::on(of.name, of.place, execution, [&](auto where) { c_abi::rms_norm(where, call); });
  });
}

stepvideo_status stepvideo_layer_norm(const stepvideo_execution* execution, const stepvideo_tensor* in,
                                      const stepvideo_tensor* weight, const stepvideo_tensor* bias,
                                      const stepvideo_tensor* scale, const stepvideo_tensor* shift,
                                      float epsilon, const stepvideo_tensor* out) {
  return guarded([&] {
    const Call of{"layer_norm", execution};
    const c_abi::LayerNormCall call{of("in", in),       of("weight", weight), of("bias", bias),
                                    of("scale", scale), of("shift", shift),   epsilon,
                                    of("out", out)};
    c_abi::on(of.name, of.place, execution, [&](auto where) { c_abi::layer_norm(where, call); });
  });
}

stepvideo_status stepvideo_group_norm_workspace(const stepvideo_execution* execution,
                                                const stepvideo_tensor* in, size_t* bytes) {
  return guarded([&] {
    const Call of{"group_norm_workspace", execution};
    require_room(of.name, "bytes", bytes);
    c_abi::on(of.name, of.place, execution,
              [&](auto where) { *bytes = c_abi::group_norm_workspace(where, of("in", in)); });
  });
}

stepvideo_status stepvideo_group_norm(const stepvideo_execution* execution, const stepvideo_tensor* in,
                                      const stepvideo_tensor* weight, const stepvideo_tensor* bias,
                                      int32_t groups, float epsilon, int32_t activation, void* workspace,
                                      size_t workspace_bytes, const stepvideo_tensor* out) {
  return guarded([&] {
    const Call of{"group_norm", execution};
    const c_abi::GroupNormCall call{of("in", in),  of("weight", weight), of("bias", bias), groups,
                                    epsilon,       activation,           workspace,        workspace_bytes,
                                    of("out", out)};
    c_abi::on(of.name, of.place, execution, [&](auto where) { c_abi::group_norm(where, call); });
  });
}

stepvideo_status stepvideo_conv_weight_create(const stepvideo_execution* execution,
                                              const stepvideo_tensor* weight,
                                              stepvideo_conv_weight** packed) {
  return guarded([&] {
    const Call of{"conv_weight_create", execution};
    require_room(of.name, "packed", packed);
    c_abi::on(of.name, of.place, execution,
              [&](auto where) { *packed = c_abi::make_conv_weight(where, of("weight", weight)); });
  });
}

void stepvideo_conv_weight_destroy(stepvideo_conv_weight* packed) {
  destroy(packed);
}

stepvideo_status stepvideo_causal_conv3d(const stepvideo_execution* execution, const stepvideo_tensor* in,
                                         const stepvideo_conv_weight* weight, const stepvideo_tensor* bias,
                                         int32_t stride, int32_t past_frames, const stepvideo_tensor* out) {
  return guarded([&] {
    const Call of{"causal_conv3d", execution};
    const auto& here = require_here(of, "weight", weight);
    const Argument video = of("in", in);
    require(video.tensor().element == here.element, [&] {
      return std::string(of.name) + ": in is " + c_abi::element_text(video.tensor().element) +
             " and the weight " + c_abi::element_text(here.element) + "; they must be of one element";
    });
    const c_abi::CausalConvCall call{video, here, of("bias", bias), stride, past_frames, of("out", out)};
    c_abi::on(of.name, of.place, execution, [&](auto where) { c_abi::causal_conv3d(where, call); });
  });
}
