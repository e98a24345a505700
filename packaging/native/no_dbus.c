/*
 * Takes the place of libdbus, which Debian's libpcap needs to capture on D-Bus. We do not, and the real one needs
 * libsystemd and six more libraries: 4 MB in the package and in every process. Each function says that it failed.
 */
#define FAILS(name) \
  void *name(void) { return 0; }

FAILS(dbus_bus_add_match)
FAILS(dbus_bus_get)
FAILS(dbus_bus_register)
FAILS(dbus_connection_flush)
FAILS(dbus_connection_open)
FAILS(dbus_connection_pop_message)
FAILS(dbus_connection_read_write)
FAILS(dbus_connection_send)
FAILS(dbus_connection_set_max_received_size)
FAILS(dbus_connection_unref)
FAILS(dbus_error_free)
FAILS(dbus_error_is_set)
FAILS(dbus_free)
FAILS(dbus_message_demarshal)
FAILS(dbus_message_is_signal)
FAILS(dbus_message_marshal)
FAILS(dbus_message_unref)
