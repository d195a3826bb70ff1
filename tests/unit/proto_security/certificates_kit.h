#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace evilmoe {

// A folder of its own below the tests' temporary folder, gone with this.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Runs scripts/make_certificates for `folder`; it makes ca.pem, server.pem, client.pem and their keys, tokens.yaml and
// a <role>.token each.
void MakeCertificates(const std::filesystem::path& folder, const std::vector<std::string>& more_arguments = {});

}  // namespace evilmoe
