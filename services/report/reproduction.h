#pragma once

#include <map>
#include <string>
#include <vector>

#include "services/report/run_record.h"

namespace evilmoe {

// How to have a run again, and what it was made with.

struct Fact {
  std::string name;
  std::string value;
};

// What a run's directory says of its making: ids, hashes, software, times. What it does not say is left out. Pure.
std::vector<Fact> FactsOf(const RecordedRun& run);

// The command that makes a run anew out of a config file that is not quite its own: `file` has `common`, the fields of
// another run, and every field that this run has otherwise is set by name. With the run's own fields as `common`:
// the plain `evilmoe-ctl submit FILE`. Both by dotted name (FlatFields()). Pure.
std::string SubmitCommand(const std::string& file, const std::map<std::string, std::string>& common,
                          const std::map<std::string, std::string>& fields);

// A word for a POSIX shell: as it is, or in single quotes.
std::string ShellWord(const std::string& text);

}  // namespace evilmoe
