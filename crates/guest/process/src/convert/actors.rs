//! Durable Objects: what an instance is made of, what it asks of its storage, what it is told.

use mayfly_engine::data::{Data, OpError};
use mayfly_wire::{
    ActorNamespace, ActorStart, Blob, SqlValue, StorageReply, StorageRequest, StorageResult,
};

use super::{FromData, IntoData, Items, list, object, record, tuple, unexpected};

record!(ActorStart {
    class = "class",
    props = "props",
    id = "id",
    name = "name",
    sql = "sql",
    alarms = "alarms",
});

impl IntoData for ActorNamespace {
    fn into_data(self) -> Data {
        object([("cap", self.cap.into_data()), ("key", self.key.into_data())])
    }
}

impl IntoData for SqlValue {
    fn into_data(self) -> Data {
        match self {
            Self::Null {} => Data::Null,
            Self::Number { number } => Data::Number(number),
            Self::Text { text } => Data::String(text),
            Self::Blob { bytes } => bytes.into_data(),
        }
    }
}

impl FromData for SqlValue {
    fn from_data(data: Data) -> Result<Self, OpError> {
        match data {
            Data::Null | Data::Undefined => Ok(Self::Null {}),
            Data::Number(number) => Ok(Self::Number { number }),
            Data::String(text) => Ok(Self::Text { text }),
            Data::Bytes(bytes) => Ok(Self::Blob { bytes: Blob(bytes) }),
            other => Err(unexpected("a value of SQL", &other)),
        }
    }
}

/// A key and its value.
struct Pair(String, Blob);

impl FromData for Pair {
    fn from_data(data: Data) -> Result<Self, OpError> {
        let mut items = Items::of(data)?;
        Ok(Self(items.take(0)?, items.take(1)?))
    }
}

impl FromData for StorageRequest {
    fn from_data(data: Data) -> Result<Self, OpError> {
        let mut items = Items::of(data)?;
        let word = items.word()?;
        Ok(match word.as_str() {
            "exec" => Self::Exec {
                sql: items.take(1)?,
                bindings: items.take(2)?,
            },
            "more" => Self::More {
                cursor: items.take(1)?,
            },
            "close" => Self::Close {
                cursor: items.take(1)?,
            },
            "ingest" => Self::Ingest {
                sql: items.take(1)?,
            },
            "get" => Self::Get {
                keys: items.take(1)?,
            },
            "put" => Self::Put {
                entries: list(items.take::<Raw>(1)?.0)?
                    .into_iter()
                    .map(|entry| Pair::from_data(entry).map(|Pair(key, value)| (key, value)))
                    .collect::<Result<_, _>>()?,
            },
            "delete" => Self::Delete {
                keys: items.take(1)?,
            },
            "list" => Self::List {
                start: items.take(1)?,
                start_after: items.take(2)?,
                end: items.take(3)?,
                prefix: items.take(4)?,
                reverse: items.take(5)?,
                limit: items.take(6)?,
            },
            "deleteAll" => Self::DeleteAll {
                alarm: items.take(1)?,
            },
            "size" => Self::Size {},
            "begin" => Self::Begin {},
            "commit" => Self::Commit {},
            "rollback" => Self::Rollback {},
            "getAlarm" => Self::GetAlarm {},
            "setAlarm" => Self::SetAlarm {
                time_ms: items.take(1)?,
            },
            "bookmark" => Self::Bookmark {},
            "limitPages" => Self::LimitPages {
                pages: items.take(1)?,
            },
            "acceptSocket" => Self::AcceptSocket {
                tags: items.take(1)?,
            },
            "sockets" => Self::Sockets {
                tag: items.take(1)?,
            },
            "socketTags" => Self::SocketTags {
                socket: items.take(1)?,
            },
            "socketAttachment" => Self::SocketAttachment {
                socket: items.take(1)?,
            },
            "setSocketAttachment" => Self::SetSocketAttachment {
                socket: items.take(1)?,
                attachment: items.take(2)?,
            },
            "setAutoResponse" => Self::SetAutoResponse {
                request: items.take(1)?,
                response: items.take(2)?,
            },
            "autoResponse" => Self::AutoResponse {},
            "autoResponseTime" => Self::AutoResponseTime {
                socket: items.take(1)?,
            },
            "setSocketTimeout" => Self::SetSocketTimeout { ms: items.take(1)? },
            "socketTimeout" => Self::SocketTimeout {},
            "bookmarkAt" => Self::BookmarkAt {
                time_ms: items.take(1)?,
            },
            "restore" => Self::Restore {
                bookmark: items.take(1)?,
            },
            "token" => Self::Token {
                cap: items.take(1)?,
            },
            "redeem" => Self::Redeem {
                cap: items.take(1)?,
                token: items.take(2)?,
            },
            other => {
                let message = format!("\"{other}\" is not a question for storage");
                return Err(OpError::type_error(message));
            }
        })
    }
}

/// A value taken as it is.
struct Raw(Data);

impl FromData for Raw {
    fn from_data(data: Data) -> Result<Self, OpError> {
        Ok(Self(data))
    }
}

/// A tuple that begins with its word. Failures are thrown by the op.
impl IntoData for StorageReply {
    fn into_data(self) -> Data {
        match self.result {
            StorageResult::Done {} => tuple("done", []),
            StorageResult::Rows {
                columns,
                values,
                count,
                cursor,
                rows_read,
                rows_written,
                cached,
            } => tuple(
                "rows",
                [
                    columns.into_data(),
                    values.into_data(),
                    count.into_data(),
                    cursor.into_data(),
                    rows_read.into_data(),
                    rows_written.into_data(),
                    cached.into_data(),
                ],
            ),
            StorageResult::Values { values } => tuple("values", [values.into_data()]),
            StorageResult::Entries { entries } => {
                let entries = entries
                    .into_iter()
                    .map(|(key, value)| Data::List(vec![key.into_data(), value.into_data()]))
                    .collect();
                tuple("entries", [Data::List(entries)])
            }
            StorageResult::Count { count } => tuple("count", [count.into_data()]),
            StorageResult::Time { time_ms } => tuple("time", [time_ms.into_data()]),
            StorageResult::Text { text } => tuple("text", [text.into_data()]),
            StorageResult::Ingested {
                remainder,
                rows_read,
                rows_written,
                statements,
            } => tuple(
                "ingested",
                [
                    remainder.into_data(),
                    rows_read.into_data(),
                    rows_written.into_data(),
                    statements.into_data(),
                ],
            ),
            StorageResult::Sockets { sockets, closed } => {
                tuple("sockets", [sockets.into_data(), closed.into_data()])
            }
            StorageResult::Texts { texts } => tuple("texts", [texts.into_data()]),
            StorageResult::Failed { name, message } => {
                tuple("failed", [name.into_data(), message.into_data()])
            }
        }
    }
}
