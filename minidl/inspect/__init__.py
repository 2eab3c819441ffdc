"""Look inside: what runs, where, how fast, and why. It reads the tape and the kernels through their hooks alone."""
