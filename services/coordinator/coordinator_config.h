#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/security/listen_config.h"

namespace evilmoe {

// evilmoe-coordinator's config file. Paths are relative to the file.
struct CoordinatorConfig {
  // Addresses, tls, tokens, insecure, limits. A message may be as large as a batch: 4,096 groups of 1,536 prompt tokens
  // are 19 MB, their problems with their tests several times that.
  ListenConfig listen = {.limits = {.message_mib = 256}};
  std::string database;            // a file, created when absent, or postgresql://...
  std::filesystem::path runs;      // folder of runs that name no directory of their own; empty = "runs"
  // Run files may name paths below these; empty = any path: then whoever may submit runs names any file of this
  // machine.
  std::vector<std::filesystem::path> roots;
  std::vector<std::string> judge_key_variables;  // that a run's judge may read its key from, where there are roots
  std::vector<std::string> judge_endpoints;      // that a run's judge may ask, where there are roots
  std::filesystem::path log;       // empty = standard error
  std::string metrics_listen;      // "127.0.0.1:0" takes a free port; empty = no metrics; plain HTTP for who reaches it
  // The page (services/page) for people's browsers, under the same tls, tokens and insecure; "127.0.0.1:0" takes a free
  // port; empty = no page.
  std::string page_listen;
  bool page_client_certificates = false;  // true: with tls.client_ca browsers show a certificate too, beside their token
  std::vector<std::string> page_hosts;  // names that it is reached under where there are no tokens; an IP address and
                                        // localhost always work
  std::filesystem::path ready_file;  // written once it serves: {"pid", "metrics_port", "ports", "page_port"}; empty = none
  double lease_timeout_s = 60;     // [1, 86400]; a worker not heard of for so long loses its groups
  double trainer_timeout_s = 60;   // [1, 86400]; a trainer not heard of for so long may lose its job
  int device_slots = 0;            // of trainers, that running jobs use together; [0, 4096], 0 = no limit
};

// InvalidArgument: one line a problem.
absl::StatusOr<CoordinatorConfig> ParseCoordinatorConfig(std::string_view yaml, const std::string& file_name,
                                                         const std::filesystem::path& base_folder);

}  // namespace evilmoe
