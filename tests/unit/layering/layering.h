#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace evilmoe {

// What is wrong with the includes and system calls of one file, one "path:line: what, what is allowed" each.
// `path` is relative to the root of the tree ("policy/sampler/sampler.cc"). The rules (docs: CONTRIBUTING.md):
// a folder includes only the folders below it, inside of services/ too; LibTorch stays in policy/, trainer/ and rollout_workers/; gRPC in
// *_service.*, *_client.*, main.cc and proto/grpc_status.*; processes, mounts and system call filters are made in
// grader_sandbox/os_* alone.
std::vector<std::string> LayeringProblemsOf(std::string_view path, std::string_view source);

struct LayeringReport {
  int num_files = 0;  // .h and .cc files looked at
  std::vector<std::string> problems;
};

// The same for every file of the layers' folders under `root`.
LayeringReport CheckLayering(const std::filesystem::path& root);

}  // namespace evilmoe
