//! SIP as the exchange of device and mailbox states uses it: bytes to types and back.
