"""What Ryu has and os-ken left out.  `nvo3.manager` makes `ryu.app.x` and `os_ken.app.x` find `nvo3.ryu.app.x`."""
