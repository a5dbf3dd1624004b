// The algorithms that matrix products take on the chips that were measured: JSON files, some of which the
// build puts into the program.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include <stepvideo/kernels/linear/matmul_table.hpp>

namespace stepvideo::plan {

/// One chip's table, with one version of cuBLASLt.
struct MatmulTable {
  struct Entry {
    MatmulShape shape;
    MatmulAlgorithm algorithm{};
    double milliseconds = 0;        ///< of the algorithm, when it was chosen
    double first_milliseconds = 0;  ///< of the library's first proposal, in turns with it
  };

  std::string name{};    ///< its file's, without the ending
  std::string gpu{};     ///< as its driver calls it
  std::string source{};  ///< what measured it
  MatmulPlatform platform{};
  std::vector<Entry> entries{};

  /// What MatmulPlans takes.
  std::vector<MatmulTableRow> rows() const;
  /// The name of the bits that it gives: 32 hexadecimal digits over platform, shapes and algorithms; times
  /// and sources do not count, nor does the order of the entries.
  std::string digest() const;
};

/// `source` is a file's name, after which the table is called. Throws RequestError naming it and the field:
/// no JSON, a field that is missing or of another kind, an element or an epilogue that there is not, extents
/// below 1, a shape twice.
MatmulTable parse_matmul_table(std::string_view text, const std::string& source);
/// The text of a file that reads as `table`.
std::string matmul_table_text(const MatmulTable& table);

/// The tables of reference/plan/matmuls, as the build found them.
const std::vector<MatmulTable>& built_in_matmul_tables();
/// The one for a chip and a library, or null: then every product takes the library's first proposal.
const MatmulTable* find_matmul_table(const MatmulPlatform& platform);
/// All rows of all of them: what MatmulPlans picks a platform's own from.
std::vector<MatmulTableRow> built_in_matmul_rows();
/// What decides the algorithms there, for manifests and readers: "the table h200-130100 (DIGEST)" or "the
/// first proposals of cuBLASLt 130100".
std::string matmul_choice(const MatmulPlatform& platform);

}  // namespace stepvideo::plan
