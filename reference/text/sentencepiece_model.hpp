// What has to hold of a SentencePiece model before the library may have it.
#pragma once
#include <cstddef>
#include <span>
#include <string>

namespace stepvideo::text {

/// Throws RequestError naming `source` unless the bytes are protocol buffer fields and every precompiled
/// normalization in them stays within itself. The library walks that map (a double array, and the texts that
/// it points to) without looking where it ends, so a damaged one would read foreign memory. Layout:
/// sentencepiece_model.proto, ModelProto.(de)normalizer_spec.precompiled_charsmap, and Darts-clone's units.
void require_sound_normalization(std::span<const std::byte> model, const std::string& source);

}  // namespace stepvideo::text
