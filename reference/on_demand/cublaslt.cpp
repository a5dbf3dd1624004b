// cuBLASLt for programs that must start without it: its functions, which open the library when the first of
// them is called. Linked in the library's place (the target stepvideo_cublaslt); half a gigabyte is not
// mapped, nor asked for by a package, for a video that is made on a CPU.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <cublasLt.h>
#include <dlfcn.h>

namespace {

constexpr const char* names[] = {"libcublasLt.so.13", "libcublasLt.so"};

void* library() {
  static void* const opened = [] {
    void* handle = nullptr;
    for (const char* name : names)
      if (handle == nullptr) handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    return handle;
  }();
  return opened;
}

/// A function's name as a template's value, so that each has its own address to remember.
template <std::size_t size>
struct Name {
  char text[size];
  constexpr Name(const char (&name)[size]) { std::copy_n(name, size, text); }
};

/// Calls the library's function `name`, which has the type of the one that stands for it here, or returns
/// `absent`.
template <Name name, class Result, class... Parameters, class... Arguments>
Result call(Result (*)(Parameters...), Result absent, Arguments... arguments) {
  using Function = Result (*)(Parameters...);
  static const auto function =
      library() == nullptr ? nullptr : reinterpret_cast<Function>(dlsym(library(), name.text));
  return function == nullptr ? absent : function(arguments...);
}

constexpr cublasStatus_t absent = CUBLAS_STATUS_NOT_INITIALIZED;

}  // namespace

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  return call<"cublasLtCreate">(&cublasLtCreate, absent, handle);
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  return call<"cublasLtDestroy">(&cublasLtDestroy, absent, handle);
}
std::size_t cublasLtGetVersion() {
  return call<"cublasLtGetVersion">(&cublasLtGetVersion, std::size_t{0});
}
const char* cublasLtGetStatusName(cublasStatus_t status) {
  return call<"cublasLtGetStatusName">(&cublasLtGetStatusName, "CUBLAS_STATUS_NOT_INITIALIZED", status);
}
const char* cublasLtGetStatusString(cublasStatus_t status) {
  return call<"cublasLtGetStatusString">(
      &cublasLtGetStatusString,
      "libcublasLt.so.13 was not found; the CUDA toolkit and pip's nvidia-cublas "
      "have it, and LD_LIBRARY_PATH leads to it",
      status);
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t product, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              std::size_t workspace_bytes, cudaStream_t stream) {
  return call<"cublasLtMatmul">(&cublasLtMatmul, absent, handle, product, alpha, a, a_layout, b, b_layout,
                                beta, c, c_layout, d, d_layout, algorithm, workspace, workspace_bytes,
                                stream);
}
cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t product, std::size_t size,
                                               cublasComputeType_t compute, cudaDataType_t scale) {
  return call<"cublasLtMatmulDescInit_internal">(&cublasLtMatmulDescInit_internal, absent, product, size,
                                                 compute, scale);
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t product,
                                              cublasLtMatmulDescAttributes_t attribute, const void* value,
                                              std::size_t size) {
  return call<"cublasLtMatmulDescSetAttribute">(&cublasLtMatmulDescSetAttribute, absent, product, attribute,
                                                value, size);
}
cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t layout, std::size_t size,
                                                 cudaDataType type, std::uint64_t rows, std::uint64_t columns,
                                                 std::int64_t stride) {
  return call<"cublasLtMatrixLayoutInit_internal">(&cublasLtMatrixLayoutInit_internal, absent, layout, size,
                                                   type, rows, columns, stride);
}
cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t preference,
                                                     std::size_t size) {
  return call<"cublasLtMatmulPreferenceInit_internal">(&cublasLtMatmulPreferenceInit_internal, absent,
                                                       preference, size);
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, std::size_t size) {
  return call<"cublasLtMatmulPreferenceSetAttribute">(&cublasLtMatmulPreferenceSetAttribute, absent,
                                                      preference, attribute, value, size);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t product,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int most,
                                              cublasLtMatmulHeuristicResult_t* results, int* count) {
  return call<"cublasLtMatmulAlgoGetHeuristic">(&cublasLtMatmulAlgoGetHeuristic, absent, handle, product, a,
                                                b, c, d, preference, most, results, count);
}
cublasStatus_t cublasLtMatmulAlgoGetIds(cublasLtHandle_t handle, cublasComputeType_t compute,
                                        cudaDataType_t scale, cudaDataType_t a, cudaDataType_t b,
                                        cudaDataType_t c, cudaDataType_t d, int most, int* ids, int* count) {
  return call<"cublasLtMatmulAlgoGetIds">(&cublasLtMatmulAlgoGetIds, absent, handle, compute, scale, a, b, c,
                                          d, most, ids, count);
}
cublasStatus_t cublasLtMatmulAlgoInit(cublasLtHandle_t handle, cublasComputeType_t compute,
                                      cudaDataType_t scale, cudaDataType_t a, cudaDataType_t b,
                                      cudaDataType_t c, cudaDataType_t d, int id,
                                      cublasLtMatmulAlgo_t* algorithm) {
  return call<"cublasLtMatmulAlgoInit">(&cublasLtMatmulAlgoInit, absent, handle, compute, scale, a, b, c, d,
                                        id, algorithm);
}
cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t product,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t* algorithm,
                                       cublasLtMatmulHeuristicResult_t* result) {
  return call<"cublasLtMatmulAlgoCheck">(&cublasLtMatmulAlgoCheck, absent, handle, product, a, b, c, d,
                                         algorithm, result);
}
cublasStatus_t cublasLtMatmulAlgoCapGetAttribute(const cublasLtMatmulAlgo_t* algorithm,
                                                 cublasLtMatmulAlgoCapAttributes_t attribute, void* value,
                                                 std::size_t size, std::size_t* written) {
  return call<"cublasLtMatmulAlgoCapGetAttribute">(&cublasLtMatmulAlgoCapGetAttribute, absent, algorithm,
                                                   attribute, value, size, written);
}
cublasStatus_t cublasLtMatmulAlgoConfigSetAttribute(cublasLtMatmulAlgo_t* algorithm,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute,
                                                    const void* value, std::size_t size) {
  return call<"cublasLtMatmulAlgoConfigSetAttribute">(&cublasLtMatmulAlgoConfigSetAttribute, absent,
                                                      algorithm, attribute, value, size);
}
cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* algorithm,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute,
                                                    void* value, std::size_t size, std::size_t* written) {
  return call<"cublasLtMatmulAlgoConfigGetAttribute">(&cublasLtMatmulAlgoConfigGetAttribute, absent,
                                                      algorithm, attribute, value, size, written);
}

}  // extern "C"
