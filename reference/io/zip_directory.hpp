// The files within a zip archive whose bytes stand there as they are.
#pragma once
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace stepvideo::io {

/// Each entry's bytes, where they lie in the archive.
using ZipDirectory = std::map<std::string_view, std::span<const std::byte>>;

/// Reads the directory of a zip archive (APPNOTE.TXT of PKWARE, also with 64-bit sizes) whose entries are
/// stored, as PyTorch writes it. Read here and not by libzip, minizip or libarchive because these copy an
/// entry's bytes and do not tell where they lie, and the weights are to stay in the mapped file. Checksums
/// are not compared (that would read every weight twice). Names are only ever compared, never opened. Throws
/// RequestError naming `source` and the entry: no archive, cut, several disks, an entry that is compressed,
/// encrypted, out of the file, overlapping another or given twice.
ZipDirectory read_zip_directory(std::span<const std::byte> archive, const std::string& source);

}  // namespace stepvideo::io
