# The store from Python (package python3-pyxs): prints what it saw, for store_tests.c.
import os
import pyxs

with pyxs.Client(unix_socket_path=os.environ["XENSTORED_PATH"]) as c:
    c[b"/py/a"] = b"1"
    m = c.monitor()
    m.watch(b"/py", b"tok")
    print(next(m.wait()).path)
    c.transaction()
    c[b"/py/b"] = b"2"
    print(c.commit())
    print(next(m.wait()).path)
    print(c[b"/py/b"], c.list(b"/py"), c.exists(b"/none"), c.get_domain_path(3))
    c.set_perms(b"/py", [b"r0", b"b3"])
    print(c.get_perms(b"/py"))
    print(list(c.walk(b"/py")))
    m.unwatch(b"/py", b"tok")
    m.close()
    c.delete(b"/py")
    try:
        c.read(b"/py")
    except pyxs.PyXSError as e:
        print(e)
