//! What the safe crate lacks: every call of the library that is unsafe here, with why it is not.

use foreign_types::ForeignTypeRef;
use openssl::ssl::SslRef;
use std::ffi::{CStr, c_char, c_int};

unsafe extern "C" {
    /// Of OpenSSL 3.0 and later.
    fn SSL_group_to_name(ssl: *mut openssl_sys::SSL, id: c_int) -> *const c_char;
}

/// `SSL_CTRL_GET_NEGOTIATED_GROUP`.
const GET_NEGOTIATED_GROUP: c_int = 134;

/// The name of the group in which keys were agreed upon. The safe crate asks only for its number, which groups of
/// providers do not have.
pub(super) fn group(ssl: &SslRef) -> Option<&str> {
    // SAFETY: The pointer is a live session's; this control reads, takes no argument, and returns a number.
    let id = unsafe { openssl_sys::SSL_ctrl(ssl.as_ptr(), GET_NEGOTIATED_GROUP, 0, std::ptr::null_mut()) };
    let id = c_int::try_from(id).ok().filter(|id: &c_int| *id > 0)?;
    // SAFETY: As above. What is returned is null or a name that lives as long as the session's context.
    let name = unsafe { SSL_group_to_name(ssl.as_ptr(), id) };
    if name.is_null() {
        return None;
    }
    // SAFETY: It is not null, ends with a null, and the session that was borrowed keeps its context.
    unsafe { CStr::from_ptr(name) }.to_str().ok()
}
