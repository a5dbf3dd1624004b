#include <iostream>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "commands/command.hpp"
#include "commands/flag_help.hpp"
#include "commands/options.hpp"
#include "io/printable.hpp"

namespace stepvideo::commands {
namespace {

/// Asks the program itself for flags and values, so that it offers what there is. {0}: the commands;
/// {1}: the word that asks.
constexpr auto bash = R"(# Completion of stepvideo's commands, flags and values for bash.
_stepvideo() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} line flags= values=
  local command=("${{COMP_WORDS[1]}}")
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ] || {{ [ "$COMP_CWORD" -eq 2 ] && [ "$before" = help ]; }}; then
    COMPREPLY=($(compgen -W "{0} help --help --version" -- "$word"))
    return
  fi
  if [ "${{command[0]}}" = bench ]; then
    if [ "$COMP_CWORD" -eq 2 ] && [[ $word != -* ]]; then
      COMPREPLY=($(compgen -W "kernels transformer encoders vae linear" -- "$word"))
      return
    fi
    [[ ${{COMP_WORDS[2]}} == -* ]] || command+=("${{COMP_WORDS[2]}}")
  fi
  if [ "$word" = = ]; then word=; elif [ "$before" = = ]; then before=${{COMP_WORDS[COMP_CWORD - 2]}}; fi
  while read -r line; do
    flags+=" ${{line%% *}}"
    if [ "${{line%% *}}" = "$before" ] && [ "$line" != "$before" ]; then values=${{line#* }}; fi
  done < <("${{COMP_WORDS[0]}}" "${{command[@]}}" --help {1} 2>/dev/null)
  case $values in
    PATH) ;;
    VALUE) compopt +o default 2>/dev/null ;;
    '') if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "$flags" -- "$word")); fi ;;
    *) COMPREPLY=($(compgen -W "$values" -- "$word")) ;;
  esac
}}
complete -o default -F _stepvideo stepvideo
)";

}  // namespace

void completion(const Arguments& arguments) {
  std::vector<std::string> shells;
  FlagParser parser("completion",
                    "completes commands, flags and values in a shell: eval \"$(stepvideo completion bash)\"");
  if (!parser.words(shells).parse(arguments)) return;
  require(shells.size() == 1 && shells.front() == "bash", [&] {
    return shells.size() == 1 ? fmt::format("completion: '{}' is no shell that it is for; bash is",
                                            io::printable(shells.front()))
                              : std::string("completion takes the name of one shell; bash works");
  });
  std::string names;
  for (const auto& command : all_commands()) names += (names.empty() ? "" : " ") + std::string(command.name);
  std::cout << fmt::format(bash, names, for_completion);
}

}  // namespace stepvideo::commands
