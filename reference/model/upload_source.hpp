// A checkpoint's tensors on their way to the memory of a GPU.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "io/upload.hpp"
#include "model/parameter.hpp"

namespace stepvideo::model {

class UploadSource final : public WeightSource<Device> {
 public:
  /// Through `ring`, in the order of `device`; ring and checkpoint outlive the source. Throws RequestError
  /// listing the tensors of `checkpoint` that are not as expected; see Checkpoint::validate.
  UploadSource(Device device, io::UploadRing& ring, const io::Checkpoint& checkpoint,
               const std::vector<io::ExpectedTensor>& expected, bool allows_extra = false,
               io::UploadProgress progress = {})
      : device_(device), ring_(ring), checkpoint_(checkpoint), progress_(std::move(progress)) {
    checkpoint.validate(expected, allows_extra);
  }
  const io::Shape& shape(const std::string& name) const override { return checkpoint_.at(name).shape; }
  void read(const std::string& name, VectorView<float> into) override { upload(name, into); }
  void read(const std::string& name, VectorView<bf16> into) override { upload(name, into); }
  bool has_scales(const std::string& name) const override { return checkpoint_.has_scales(name); }
  void read_scaled(const std::string& name, const ScaledTokensView& into) override {
    const auto& [values, scales] = into;
    upload(name, VectorView<fp8_e4m3>{values.data, values.tokens * values.width});
    const Buffer<float> rows(scales.size);
    checkpoint_.read_scales(name, rows.vector());
    stepvideo::upload(device_, rows.data(), scales);
  }

 private:
  template <Element T>
  void upload(const std::string& name, VectorView<T> into) {
    const io::UploadItem item = io::upload_item(checkpoint_, name, into.data);
    ring_.upload(device_, {&item, 1}, progress_);
  }

  Device device_;
  io::UploadRing& ring_;
  const io::Checkpoint& checkpoint_;
  io::UploadProgress progress_;
};

}  // namespace stepvideo::model
