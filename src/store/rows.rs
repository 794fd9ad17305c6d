//! The rows of the embedded store: batches in, values out.

use super::Change;
use super::ChangeKind;
use super::Example;
use super::Limits;
use super::batch::Batch;
use super::batch::Saved;
use super::batch::Trimmed;
use super::error::Error;
use super::form;
use super::sqlite::undo;
use crate::evidence::Part;
use crate::model::PairId;
use crate::model::SliceId;
use crate::model::UnixMillis;
use sqlx::Row;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

/// Writes a batch, whole or not at all.
pub(super) async fn write(
    link: &mut SqliteConnection,
    batch: &Batch,
    limits: &Limits,
) -> Result<(), Error> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *link).await?;
    let done = async {
        slices(link, batch).await?;
        numbers(link, batch).await?;
        for example in &batch.examples {
            insert_example(link, example, limits).await?;
        }
        for change in &batch.changes {
            insert_change(link, change).await?;
        }
        sqlx::query("COMMIT").execute(&mut *link).await?;
        Ok(())
    };
    let done = done.await;
    if done.is_err() {
        undo(link).await;
    }
    done
}

async fn slices(link: &mut SqliteConnection, batch: &Batch) -> Result<(), Error> {
    for slice in &batch.forget {
        for table in [
            "DELETE FROM part WHERE slice = ?",
            "DELETE FROM counts WHERE slice = ?",
            "DELETE FROM example WHERE slice = ?",
            "DELETE FROM slice WHERE name = ?",
        ] {
            let gone = sqlx::query(table).bind(slice.as_str());
            gone.execute(&mut *link).await?;
        }
    }
    for (slice, gone) in &batch.gone {
        sqlx::query("INSERT INTO slice (name, gone_at) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET gone_at = excluded.gone_at")
            .bind(slice.as_str())
            .bind(gone.map(|at| at.0))
            .execute(&mut *link)
            .await?;
    }
    Ok(())
}

async fn numbers(link: &mut SqliteConnection, batch: &Batch) -> Result<(), Error> {
    for ((slice, name), data) in &batch.parts {
        match data {
            Some(data) => {
                sqlx::query("INSERT OR REPLACE INTO part (slice, name, data) VALUES (?, ?, ?)")
                    .bind(slice.as_str())
                    .bind(name)
                    .bind(data)
                    .execute(&mut *link)
                    .await?
            }
            None => {
                sqlx::query("DELETE FROM part WHERE slice = ? AND name = ?")
                    .bind(slice.as_str())
                    .bind(name)
                    .execute(&mut *link)
                    .await?
            }
        };
    }
    for slice in &batch.replace {
        let names = batch.parts.keys().filter(|(s, _)| s == slice);
        let names: std::collections::BTreeSet<_> = names.map(|(_, n)| n.as_str()).collect();
        let rows = sqlx::query("SELECT name FROM part WHERE slice = ?")
            .bind(slice.as_str())
            .fetch_all(&mut *link)
            .await?;
        for row in rows {
            let name: String = row.try_get(0)?;
            if !names.contains(name.as_str()) {
                sqlx::query("DELETE FROM part WHERE slice = ? AND name = ?")
                    .bind(slice.as_str())
                    .bind(name)
                    .execute(&mut *link)
                    .await?;
            }
        }
    }
    for (slice, counts) in &batch.counts {
        sqlx::query("INSERT OR REPLACE INTO counts (slice, body) VALUES (?, ?)")
            .bind(slice.as_str())
            .bind(form::counts(counts))
            .execute(&mut *link)
            .await?;
    }
    Ok(())
}

async fn insert_example(
    link: &mut SqliteConnection,
    example: &Example,
    limits: &Limits,
) -> Result<(), Error> {
    let body = form::example(example);
    let family = form::family(example).cast_signed();
    let bytes = i64::try_from(body.len()).unwrap_or(i64::MAX);
    sqlx::query("INSERT OR REPLACE INTO example (id, slice, family, at, bytes, body) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(example.id.0.cast_signed())
        .bind(example.slice.as_str())
        .bind(family)
        .bind(example.at.0)
        .bind(bytes)
        .bind(body)
        .execute(&mut *link)
        .await?;
    // The first half stays, because groups name their first pairs; of the rest the oldest leaves.
    sqlx::query(
        "DELETE FROM example WHERE id IN (SELECT id FROM example WHERE family = ?1 ORDER BY at, id
         LIMIT max(0, (SELECT count(*) FROM example WHERE family = ?1) - ?2) OFFSET ?3)",
    )
    .bind(family)
    .bind(i64::from(limits.examples_per_set))
    .bind(i64::from(limits.examples_per_set / 2))
    .execute(&mut *link)
    .await?;
    Ok(())
}

async fn insert_change(link: &mut SqliteConnection, change: &Change) -> Result<(), Error> {
    sqlx::query("INSERT INTO change (at, actor, kind, slice, text, diff, hash) VALUES (?, ?, ?, ?, ?, ?, ?)")
        .bind(change.at.0)
        .bind(&change.actor)
        .bind(change.kind.as_str())
        .bind(change.slice.as_ref().map(SliceId::as_str))
        .bind(&change.text)
        .bind(change.diff.as_ref())
        .bind(change.hash.as_ref())
        .execute(&mut *link)
        .await?;
    Ok(())
}

/// Reads what outlived the last process.
pub(super) async fn load(link: &mut SqliteConnection) -> Result<Saved, Error> {
    let mut saved = Saved::default();
    let rows = sqlx::query("SELECT slice, name, data FROM part ORDER BY slice, name")
        .fetch_all(&mut *link)
        .await?;
    for row in rows {
        let part = Part {
            name: row.try_get(1)?,
            data: Some(row.try_get(2)?),
        };
        saved.parts.entry(slice(&row)?).or_default().push(part);
    }
    let rows = sqlx::query("SELECT slice, body FROM counts")
        .fetch_all(&mut *link)
        .await?;
    for row in rows {
        let counts = form::parse_counts(row.try_get(1)?);
        saved.counts.insert(slice(&row)?, counts);
    }
    let rows = sqlx::query("SELECT name, gone_at FROM slice")
        .fetch_all(&mut *link)
        .await?;
    for row in rows {
        let at: Option<i64> = row.try_get(1)?;
        saved.gone.insert(slice(&row)?, at.map(UnixMillis));
    }
    Ok(saved)
}

fn slice(row: &SqliteRow) -> Result<SliceId, Error> {
    Ok(SliceId::new(row.try_get::<String, _>(0)?))
}

/// Reads one example.
pub(super) async fn example(
    link: &mut SqliteConnection,
    id: PairId,
) -> Result<Option<Example>, Error> {
    let row = sqlx::query("SELECT body FROM example WHERE id = ?")
        .bind(id.0.cast_signed())
        .fetch_optional(&mut *link)
        .await?;
    match row {
        Some(row) => Ok(form::parse_example(row.try_get(0)?)),
        None => Ok(None),
    }
}

/// Reads the history, the newest first, from before `before`.
pub(super) async fn changes(
    link: &mut SqliteConnection,
    limit: u32,
    before: Option<i64>,
) -> Result<Vec<Change>, Error> {
    let rows = sqlx::query(
        "SELECT id, at, actor, kind, slice, text, diff, hash FROM change WHERE id < ?
         ORDER BY id DESC LIMIT ?",
    )
    .bind(before.unwrap_or(i64::MAX))
    .bind(i64::from(limit))
    .fetch_all(&mut *link)
    .await?;
    let mut changes = Vec::with_capacity(rows.len());
    for row in rows {
        let kind: String = row.try_get(3)?;
        // A kind of a later version is no reason to hide the rest.
        let Some(kind) = ChangeKind::parse(&kind) else {
            continue;
        };
        changes.push(Change {
            id: row.try_get(0)?,
            at: UnixMillis(row.try_get(1)?),
            actor: row.try_get(2)?,
            kind,
            slice: row.try_get::<Option<String>, _>(4)?.map(SliceId::new),
            text: row.try_get(5)?,
            diff: row.try_get(6)?,
            hash: row.try_get(7)?,
        });
    }
    Ok(changes)
}

/// Lets go of what is over the limits, the oldest first.
pub(super) async fn trim(
    link: &mut SqliteConnection,
    limits: &Limits,
    now: UnixMillis,
) -> Result<Trimmed, Error> {
    let oldest = now.0.saturating_sub(i64::from(limits.days) * 86_400_000);
    let days = sqlx::query("DELETE FROM example WHERE at < ?")
        .bind(oldest)
        .execute(&mut *link)
        .await?
        .rows_affected();
    // The sum runs from the newest; what lies beyond the limit goes.
    let bytes = sqlx::query(
        "DELETE FROM example WHERE id IN (SELECT id FROM
         (SELECT id, sum(bytes) OVER (ORDER BY at DESC, id DESC) AS held FROM example)
         WHERE held > ?)",
    )
    .bind(i64::try_from(limits.bytes).unwrap_or(i64::MAX))
    .execute(&mut *link)
    .await?
    .rows_affected();
    sqlx::query("DELETE FROM change WHERE id <= (SELECT max(id) FROM change) - ?")
        .bind(i64::from(limits.changes))
        .execute(&mut *link)
        .await?;
    sqlx::query("UPDATE change SET diff = NULL WHERE diff IS NOT NULL AND id <= (SELECT max(id) FROM change) - ?")
        .bind(i64::from(limits.diffs))
        .execute(&mut *link)
        .await?;
    sqlx::raw_sql("PRAGMA incremental_vacuum(2000)")
        .execute(&mut *link)
        .await?;
    Ok(Trimmed { bytes, days })
}

/// Writes the one row of positions.
pub(super) async fn put_positions(
    link: &mut SqliteConnection,
    generation: u64,
    body: &str,
) -> Result<(), Error> {
    sqlx::query("INSERT OR REPLACE INTO position (one, generation, body) VALUES (1, ?, ?)")
        .bind(generation.cast_signed())
        .bind(body)
        .execute(&mut *link)
        .await?;
    Ok(())
}

/// Reads the one row of positions, if it was ever written.
pub(super) async fn positions(link: &mut SqliteConnection) -> Result<Option<String>, Error> {
    let row = sqlx::query("SELECT body FROM position WHERE one = 1")
        .fetch_optional(&mut *link)
        .await?;
    match row {
        Some(row) => Ok(Some(row.try_get(0)?)),
        None => Ok(None),
    }
}
