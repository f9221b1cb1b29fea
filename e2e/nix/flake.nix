# Stands for nixpkgs, so that the flake can be evaluated where there is no network. It has what
# the flake uses under the names that nixpkgs has for it (checked against nixpkgs by hand); a name
# that is not here makes the evaluation fail.
{
  outputs =
    { self }:
    let
      genAttrs =
        names: make:
        builtins.listToAttrs (
          map (name: {
            inherit name;
            value = make name;
          }) names
        );

      packagesOf =
        system:
        let
          package =
            name:
            derivation {
              inherit name system;
              builder = "/bin/sh";
            };
          plain = genAttrs [
            "cargo"
            "clippy"
            "curl"
            "go-task"
            "nixfmt-tree"
            "oha"
            "opentelemetry-collector-contrib"
            "rust-analyzer"
            "rustc"
            "rustfmt"
          ] package;
        in
        plain
        // {
          prometheus = package "prometheus" // {
            cli = package "prometheus-cli";
          };
          python3.withPackages =
            choose:
            package (
              builtins.concatStringsSep "-" (choose {
                flask = "flask";
                gunicorn = "gunicorn";
                prometheus-client = "prometheus-client";
              })
            );
          mkShell = { packages }: builtins.seq (builtins.deepSeq (map (one: one.name) packages) null) (package "shell");
          rustPlatform.buildRustPackage =
            {
              pname,
              version,
              src,
              cargoLock,
              cargoBuildFlags,
              doCheck,
              meta,
            }:
            assert builtins.pathExists cargoLock.lockFile;
            assert builtins.isString meta.description && meta.mainProgram == pname;
            package "${pname}-${version}";
        };
    in
    {
      lib = {
        inherit genAttrs;
      };
      legacyPackages = genAttrs [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ] packagesOf;
    };
}
