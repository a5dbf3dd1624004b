// Foreign text in output that people read.
#pragma once
#include <string>
#include <string_view>

namespace stepvideo::io {

/// The text with control characters (C0, DEL and Unicode's C1) and bytes that are no UTF-8 escaped as \xNN: a
/// name or a message out of a file must not start a line or drive the terminal on its own account.
std::string printable(std::string_view text);

/// The same of several lines, whose ends stay.
std::string printable_lines(std::string_view text);

/// The text as one word of a shell's command, in quotes; of one with unprintable bytes, as bash reads it.
std::string in_shell(std::string_view text);

}  // namespace stepvideo::io
