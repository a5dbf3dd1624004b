namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {
#pragma omp simd
}
namespace stepvideo {
inline void outside() {
#pragma omp simd
  for (int i = 0; i < 4; ++i) {
  }
}
}  // namespace stepvideo
