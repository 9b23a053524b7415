//! The functions of the module API that this module uses, all of Redis 7.0 or earlier. A server that
//! lacks one (an old one, a fork) is refused while the module loads, with the function's name: called
//! later, it would take the server down.

use std::os::raw::c_int;

use redis_module::native_types::RedisType;
use redis_module::raw;

use super::log;

/// A function of the module API. Its name must be listed in `required!`.
macro_rules! api {
    ($name:ident) => {{
        // Does not compile for a name that is not checked at load.
        let () = $crate::server::api::listed::$name;
        // SAFETY: the server fills these statics in `RedisModule_OnLoad`, before anything else of
        // this module runs, and nobody writes them afterwards.
        unsafe { redis_module::raw::$name }.expect(concat!("checked at load: ", stringify!($name)))
    }};
}

macro_rules! required {
    (here: $($own:ident)*; in the crate: $($other:ident)*) => {
        #[allow(non_upper_case_globals)]
        pub mod listed {
            $(pub const $own: () = ();)*
        }

        /// The first function that the server does not have.
        fn missing() -> Option<&'static str> {
            required!(@look $($own)* $($other)*);
            None
        }
    };
    (@look $($name:ident)*) => {
        $(
            // SAFETY: as in `api!`.
            if unsafe { raw::$name }.is_none() {
                return Some(stringify!($name));
            }
        )*
    };
}

required! {
    here:
    RedisModule_AbortBlock
    RedisModule_ACLCheckCommandPermissions
    RedisModule_Alloc
    RedisModule_AvoidReplicaTraffic
    RedisModule_BlockClient
    RedisModule_BlockedClientMeasureTimeEnd
    RedisModule_BlockedClientMeasureTimeStart
    RedisModule_CloseKey
    RedisModule_CreateTimer
    RedisModule_DigestAddStringBuffer
    RedisModule_DigestEndSequence
    RedisModule_EmitAOF
    RedisModule_EventLoopAddOneShot
    RedisModule_Free
    RedisModule_FreeModuleUser
    RedisModule_FreeString
    RedisModule_FreeThreadSafeContext
    RedisModule_GetBlockedClientHandle
    RedisModule_GetBlockedClientPrivateData
    RedisModule_GetClientId
    RedisModule_GetClientUserNameById
    RedisModule_GetCommand
    RedisModule_GetCurrentUserName
    RedisModule_GetDetachedThreadSafeContext
    RedisModule_GetModuleUserFromUserName
    RedisModule_GetSelectedDb
    RedisModule_GetUsedMemoryRatio
    RedisModule_HashGet
    RedisModule_HashSet
    RedisModule_HoldString
    RedisModule_InfoAddFieldCString
    RedisModule_IsIOError
    RedisModule_KeyType
    RedisModule_LoadStringBuffer
    RedisModule_LoadUnsigned
    RedisModule_Log
    RedisModule_ModuleTypeGetType
    RedisModule_ModuleTypeGetValue
    RedisModule_ModuleTypeSetValue
    RedisModule_NotifyKeyspaceEvent
    RedisModule_OpenKey
    RedisModule_RedactClientCommandArgument
    RedisModule_Replicate
    RedisModule_SaveStringBuffer
    RedisModule_SaveUnsigned
    RedisModule_ScanCursorCreate
    RedisModule_ScanCursorDestroy
    RedisModule_ScanKey
    RedisModule_SelectDb
    RedisModule_SetAbsExpire
    RedisModule_SetCommandInfo
    RedisModule_SetDisconnectCallback
    RedisModule_SetModuleOptions
    RedisModule_StopTimer
    RedisModule_TrimStringAllocation
    RedisModule_UnblockClient
    RedisModule_ValueLength;

    in the crate:
    RedisModule_ACLCheckKeyPermissions
    RedisModule_Call
    RedisModule_CallReplyArrayElement
    RedisModule_CallReplyInteger
    RedisModule_CallReplyLength
    RedisModule_CallReplyMapElement
    RedisModule_CallReplyStringPtr
    RedisModule_CallReplyType
    RedisModule_CreateCommand
    RedisModule_CreateDataType
    RedisModule_CreateString
    RedisModule_CreateStringFromString
    RedisModule_FreeCallReply
    RedisModule_FreeServerInfo
    RedisModule_GetContextFlags
    RedisModule_GetServerInfo
    RedisModule_InfoAddFieldULongLong
    RedisModule_InfoAddSection
    RedisModule_LoadConfigs
    RedisModule_RegisterBoolConfig
    RedisModule_RegisterInfoFunc
    RedisModule_RegisterNumericConfig
    RedisModule_RegisterStringConfig
    RedisModule_ReplyWithArray
    RedisModule_ReplyWithError
    RedisModule_ReplyWithLongLong
    RedisModule_ReplyWithMap
    RedisModule_ReplyWithNull
    RedisModule_ReplyWithSimpleString
    RedisModule_ReplyWithString
    RedisModule_ReplyWithStringBuffer
    RedisModule_RetainString
    RedisModule_ServerInfoGetField
    RedisModule_StringPtrLen
    RedisModule_SubscribeToServerEvent
    RedisModule_WrongArity
}

/// A data type as the table of `redis_module!` registers it: the first thing that happens when the
/// module loads, and so the place to look whether the server has what all else will call.
pub struct Registered(pub &'static RedisType);

impl Registered {
    pub fn create_data_type(&self, ctx: *mut raw::RedisModuleCtx) -> Result<(), &str> {
        if let Some(name) = missing() {
            log::warning(&format!(
                "the module is not loaded: it needs Redis 7.0 or later, or Valkey ({name} is missing)"
            ));
            return Err("a function of the module API is missing");
        }
        spare_defragmentation();
        self.0.create_data_type(ctx)
    }
}

/// The crate warns at every start of a server that lacks this function, even though the module has
/// nothing to register with it.
fn spare_defragmentation() {
    unsafe extern "C" fn nothing(
        _ctx: *mut raw::RedisModuleCtx,
        _start: raw::RedisModuleDefragFunc,
        _end: raw::RedisModuleDefragFunc,
    ) -> c_int {
        raw::REDISMODULE_OK as c_int
    }
    // SAFETY: while the module loads, on the main thread; no thread of ours has begun.
    unsafe {
        let offered = raw::RedisModule_RegisterDefragCallbacks;
        if offered.is_none() {
            raw::RedisModule_RegisterDefragCallbacks = Some(nothing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_server_the_first_function_is_missing() {
        assert_eq!(missing(), Some("RedisModule_AbortBlock"));
    }
}
