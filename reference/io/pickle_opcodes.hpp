// The names of pickle's opcodes, as Python's pickletools spells them.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace stepvideo::io {

struct PickleOpcode {
  std::uint8_t code;
  std::string_view name;
};

/// Every opcode of the protocols 0 to 5: those that Pickle reads, and those that it refuses by name.
inline constexpr std::array pickle_opcodes{PickleOpcode{0x49, "INT"},
                                           PickleOpcode{0x4a, "BININT"},
                                           PickleOpcode{0x4b, "BININT1"},
                                           PickleOpcode{0x4d, "BININT2"},
                                           PickleOpcode{0x4c, "LONG"},
                                           PickleOpcode{0x8a, "LONG1"},
                                           PickleOpcode{0x8b, "LONG4"},
                                           PickleOpcode{0x53, "STRING"},
                                           PickleOpcode{0x54, "BINSTRING"},
                                           PickleOpcode{0x55, "SHORT_BINSTRING"},
                                           PickleOpcode{0x42, "BINBYTES"},
                                           PickleOpcode{0x43, "SHORT_BINBYTES"},
                                           PickleOpcode{0x8e, "BINBYTES8"},
                                           PickleOpcode{0x96, "BYTEARRAY8"},
                                           PickleOpcode{0x97, "NEXT_BUFFER"},
                                           PickleOpcode{0x98, "READONLY_BUFFER"},
                                           PickleOpcode{0x4e, "NONE"},
                                           PickleOpcode{0x88, "NEWTRUE"},
                                           PickleOpcode{0x89, "NEWFALSE"},
                                           PickleOpcode{0x56, "UNICODE"},
                                           PickleOpcode{0x8c, "SHORT_BINUNICODE"},
                                           PickleOpcode{0x58, "BINUNICODE"},
                                           PickleOpcode{0x8d, "BINUNICODE8"},
                                           PickleOpcode{0x46, "FLOAT"},
                                           PickleOpcode{0x47, "BINFLOAT"},
                                           PickleOpcode{0x5d, "EMPTY_LIST"},
                                           PickleOpcode{0x61, "APPEND"},
                                           PickleOpcode{0x65, "APPENDS"},
                                           PickleOpcode{0x6c, "LIST"},
                                           PickleOpcode{0x29, "EMPTY_TUPLE"},
                                           PickleOpcode{0x74, "TUPLE"},
                                           PickleOpcode{0x85, "TUPLE1"},
                                           PickleOpcode{0x86, "TUPLE2"},
                                           PickleOpcode{0x87, "TUPLE3"},
                                           PickleOpcode{0x7d, "EMPTY_DICT"},
                                           PickleOpcode{0x64, "DICT"},
                                           PickleOpcode{0x73, "SETITEM"},
                                           PickleOpcode{0x75, "SETITEMS"},
                                           PickleOpcode{0x8f, "EMPTY_SET"},
                                           PickleOpcode{0x90, "ADDITEMS"},
                                           PickleOpcode{0x91, "FROZENSET"},
                                           PickleOpcode{0x30, "POP"},
                                           PickleOpcode{0x32, "DUP"},
                                           PickleOpcode{0x28, "MARK"},
                                           PickleOpcode{0x31, "POP_MARK"},
                                           PickleOpcode{0x67, "GET"},
                                           PickleOpcode{0x68, "BINGET"},
                                           PickleOpcode{0x6a, "LONG_BINGET"},
                                           PickleOpcode{0x70, "PUT"},
                                           PickleOpcode{0x71, "BINPUT"},
                                           PickleOpcode{0x72, "LONG_BINPUT"},
                                           PickleOpcode{0x94, "MEMOIZE"},
                                           PickleOpcode{0x82, "EXT1"},
                                           PickleOpcode{0x83, "EXT2"},
                                           PickleOpcode{0x84, "EXT4"},
                                           PickleOpcode{0x63, "GLOBAL"},
                                           PickleOpcode{0x93, "STACK_GLOBAL"},
                                           PickleOpcode{0x52, "REDUCE"},
                                           PickleOpcode{0x62, "BUILD"},
                                           PickleOpcode{0x69, "INST"},
                                           PickleOpcode{0x6f, "OBJ"},
                                           PickleOpcode{0x81, "NEWOBJ"},
                                           PickleOpcode{0x92, "NEWOBJ_EX"},
                                           PickleOpcode{0x80, "PROTO"},
                                           PickleOpcode{0x2e, "STOP"},
                                           PickleOpcode{0x95, "FRAME"},
                                           PickleOpcode{0x50, "PERSID"},
                                           PickleOpcode{0x51, "BINPERSID"}};

}  // namespace stepvideo::io
