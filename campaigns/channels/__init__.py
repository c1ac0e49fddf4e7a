"""How messages leave: e-mail, push, files; one small protocol."""
