// The program's commands.
#pragma once
#include <string>
#include <vector>

namespace stepvideo::commands {

using Arguments = std::vector<std::string>;

/// One command: reads its flags, does its work, throws RequestError or Error.
struct Command {
  const char* name;
  const char* summary;
  void (*run)(const Arguments& arguments);
};

/// All commands, in the order in which help lists them.
const std::vector<Command>& all_commands();

void generate(const Arguments& arguments);
void encode_text(const Arguments& arguments);
void encode_tokens(const Arguments& arguments);
void transformer(const Arguments& arguments);
void denoise(const Arguments& arguments);
void decode(const Arguments& arguments);
void encode(const Arguments& arguments);
void convert(const Arguments& arguments);
void ramp(const Arguments& arguments);
void explain(const Arguments& arguments);
void report(const Arguments& arguments);
void bench(const Arguments& arguments);
void doctor(const Arguments& arguments);
void plan(const Arguments& arguments);
void inspect(const Arguments& arguments);
void completion(const Arguments& arguments);

}  // namespace stepvideo::commands
