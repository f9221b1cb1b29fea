{
  description = "Observability for actix-web: logs, metrics by push and by pull, traces";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;

      # Worker processes need Linux. Other systems only have the development shell, for the
      # scenario with a single process.
      linux = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      all = linux ++ [
        "x86_64-darwin"
        "aarch64-darwin"
      ];
      forEach = systems: make: lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});

      # A directory with src/telemetry.rs is a scenario.
      isScenario = name: builtins.pathExists (./. + "/${name}/src/telemetry.rs");
      scenarios = builtins.filter isScenario (builtins.attrNames (builtins.readDir ./.));
      manifest = name: (builtins.fromTOML (builtins.readFile (./. + "/${name}/Cargo.toml"))).package;

      program =
        pkgs: name:
        pkgs.rustPlatform.buildRustPackage {
          pname = name;
          inherit (manifest name) version;
          src = self;
          cargoLock.lockFile = ./Cargo.lock;
          cargoBuildFlags = [
            "--package"
            name
          ];
          # The tests start other programs and listen on ports. Run them in the shell.
          doCheck = false;
          meta = {
            inherit (manifest name) description;
            mainProgram = name;
          };
        };
    in
    {
      # `nix run .#logs`
      packages = forEach linux (
        pkgs:
        lib.genAttrs (scenarios ++ [ "collector" ]) (program pkgs)
        // {
          default = program pkgs "metrics-push";
        }
      );

      # `nix develop`
      devShells = forEach all (pkgs: {
        default = pkgs.mkShell {
          packages = [
            pkgs.cargo
            pkgs.clippy
            pkgs.rust-analyzer
            pkgs.rustc
            pkgs.rustfmt

            pkgs.curl
            pkgs.go-task
            pkgs.oha
            pkgs.opentelemetry-collector-contrib
            pkgs.prometheus
            # promtool
            pkgs.prometheus.cli
            (pkgs.python3.withPackages (python: [
              python.flask
              python.gunicorn
              python.prometheus-client
            ]))
          ];
        };
      });

      # `nix fmt`
      formatter = forEach all (pkgs: pkgs.nixfmt-tree);
    };
}
