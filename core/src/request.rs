//! The body of one `ExportTraceServiceRequest`, pulled in chunks of any size.
//!
//! Nothing is assembled: the body is the encoded resource, the encoded scopes and the stored
//! records, joined by a few bytes of tags and lengths that are computed while reading. Its exact
//! length is known before the first byte, so that it can be announced as `Content-Length`, compared
//! with the request limit, and streamed through gzip without a second buffer of its size.
//!
//! ```text
//! 0a len ┌ resource ─────────────┐            ResourceSpans
//!        │ 12 len ┌ scope ──────┐│            ScopeSpans, one per scope of the batch
//!        │        │ 12 len record││           Span, copied from the ring
//!        │        │ 12 len record││
//!        │        └ schema_url ─┘│
//!        └ schema_url ───────────┘
//! ```
//!
//! The spans of a scope are gathered under one `ScopeSpans`, in the order in which they ended. That
//! costs one walk over the record headers for each scope in the batch.

use crate::buffer::{Buffer, Lease, Record};
use crate::resource::{Entries, ScopeId};
use crate::wire::{BYTES, Writer, field_len, tag, varint_len};

/// The lengths of a body, fixed when its batch is leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Records of the lease that are sent: all, or fewer after a 413.
    pub(crate) window: usize,
    /// Bytes of the body.
    pub(crate) total: usize,
    /// Bytes of the `ResourceSpans` content.
    resource_spans: usize,
    /// The scope of all spans and the bytes of its `ScopeSpans` content, if there is only one: most
    /// batches have one, and then no walk is needed to find the next.
    single: Option<(ScopeId, usize)>,
}

/// A place in a body. Starting again from [`BodyCursor::START`] gives identical bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BodyCursor {
    stage: Stage,
    /// Bytes of the current piece that have been read.
    given: usize,
    scope: ScopeId,
    /// The current record's offset in the ring, and its number within the window.
    at: usize,
    index: usize,
    /// The buffer's layout for which `at` is right.
    layout: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Stage {
    Start,
    ResourceHead,
    /// Tag and length of the `ScopeSpans` of `scope`, then its head.
    ScopeLen,
    ScopeHead,
    /// Tag and length of a span, then its record.
    SpanLen,
    SpanBody,
    ScopeTail,
    ResourceTail,
    End,
}

impl BodyCursor {
    /// Before the first byte.
    pub const START: Self = Self {
        stage: Stage::Start,
        given: 0,
        scope: ScopeId(0),
        at: 0,
        index: 0,
        layout: 0,
    };

    /// Returns true if the whole body has been read.
    #[must_use]
    pub const fn is_at_end(&self) -> bool {
        matches!(self.stage, Stage::End)
    }
}

impl Default for BodyCursor {
    fn default() -> Self {
        Self::START
    }
}

/// Bytes of the tag and the length of a `ScopeSpans`, at most.
pub(crate) const SCOPE_BYTES: usize = 1 + 10;

/// Bytes that a `ScopeSpans` takes around its spans, at most, whatever their number: its tag and
/// length, head and tail. With this upper bound a batch can be cut before its size is known.
pub(crate) fn scope_overhead(entries: Entries<'_>, scope: ScopeId) -> usize {
    let entry = entries.scope(scope);
    SCOPE_BYTES + entry.head.len() + entry.tail.len()
}

/// Bytes around everything, at most.
pub(crate) fn request_overhead(entries: Entries<'_>) -> usize {
    let entry = entries.resource();
    1 + 10 + entry.head.len() + entry.tail.len()
}

/// One body: a lease of a buffer, and the registry that its scopes are in.
#[derive(Clone, Copy)]
pub(crate) struct Body<'a, S> {
    pub(crate) buffer: &'a Buffer<S>,
    pub(crate) lease: &'a Lease,
    pub(crate) entries: Entries<'a>,
}

impl<'a, S: AsRef<[u8]> + AsMut<[u8]>> Body<'a, S> {
    /// The exact lengths of a request for the first `window` records of the lease. `known` is the
    /// scope of all of these and the bytes of their fields, if there is one scope and it is known.
    pub(crate) fn layout(&self, window: usize, known: Option<(ScopeId, usize)>) -> Layout {
        let resource = self.entries.resource();
        let mut layout = Layout {
            window,
            total: 0,
            resource_spans: resource.head.len() + resource.tail.len(),
            single: known
                .or_else(|| self.single_scope(window))
                .map(|(scope, fields)| {
                    let entry = self.entries.scope(scope);
                    (scope, entry.head.len() + fields + entry.tail.len())
                }),
        };
        let mut scope = self.next_scope(&layout, None);
        while let Some(id) = scope {
            layout.resource_spans += field_len(self.scope_spans_len(&layout, id));
            scope = self.next_scope(&layout, Some(id));
        }
        layout.total = field_len(layout.resource_spans);
        layout
    }

    /// Copies the next bytes of the body into `target`, and returns how many. 0 at the end.
    // A function by itself in every program: within its caller it has fewer registers for its loop,
    // which costs 3 % more instructions, and the compiler's choice changes with unrelated code.
    #[inline(never)]
    pub(crate) fn read(
        &self,
        layout: &Layout,
        cursor: &mut BodyCursor,
        target: &mut [u8],
    ) -> usize {
        let mut written = 0;
        while !cursor.is_at_end() {
            if cursor.stage == Stage::SpanLen && cursor.given == 0 {
                written += self.copy_records(layout, cursor, target.get_mut(written..));
            }
            let mut small = [0; 11];
            let piece = self.piece(layout, cursor, &mut small);
            let rest = piece.get(cursor.given..).unwrap_or_default();
            let free = target.get_mut(written..).unwrap_or_default();
            let len = rest.len().min(free.len());
            if let (Some(from), Some(to)) = (rest.get(..len), free.get_mut(..len)) {
                to.copy_from_slice(from);
            }
            written += len;
            cursor.given += len;
            if len < rest.len() {
                break;
            }
            self.advance(layout, cursor);
        }
        written
    }

    /// The current piece; a short one is made in `small`.
    fn piece<'b>(
        &self,
        layout: &Layout,
        cursor: &mut BodyCursor,
        small: &'b mut [u8; 11],
    ) -> &'b [u8]
    where
        'a: 'b,
    {
        match cursor.stage {
            Stage::Start => header(small, 1, layout.resource_spans),
            Stage::ResourceHead => self.entries.resource().head,
            Stage::ScopeLen => header(small, 2, self.scope_spans_len(layout, cursor.scope)),
            Stage::ScopeHead => self.entries.scope(cursor.scope).head,
            Stage::SpanLen => {
                let len = self.record(layout, cursor).map_or(0, |r| r.body.len());
                header(small, 2, len)
            }
            Stage::SpanBody => self.record(layout, cursor).map_or(&[], |r| r.body),
            Stage::ScopeTail => self.entries.scope(cursor.scope).tail,
            Stage::ResourceTail => self.entries.resource().tail,
            Stage::End => &[],
        }
    }

    fn advance(&self, layout: &Layout, cursor: &mut BodyCursor) {
        cursor.given = 0;
        cursor.stage = match cursor.stage {
            Stage::Start => Stage::ResourceHead,
            Stage::ResourceHead => self.enter_scope(layout, cursor, None),
            Stage::ScopeLen => Stage::ScopeHead,
            Stage::ScopeHead => self.enter_record(layout, cursor, 0),
            Stage::SpanLen => Stage::SpanBody,
            Stage::SpanBody => self.next_record(layout, cursor),
            Stage::ScopeTail => self.enter_scope(layout, cursor, Some(cursor.scope)),
            Stage::ResourceTail | Stage::End => Stage::End,
        };
    }

    fn enter_scope(
        &self,
        layout: &Layout,
        cursor: &mut BodyCursor,
        after: Option<ScopeId>,
    ) -> Stage {
        match self.next_scope(layout, after) {
            Some(scope) => {
                cursor.scope = scope;
                Stage::ScopeLen
            }
            None => Stage::ResourceTail,
        }
    }

    /// Goes to the first record of the current scope whose number is at least `from`.
    fn enter_record(&self, layout: &Layout, cursor: &mut BodyCursor, from: usize) -> Stage {
        let found = self
            .buffer
            .positions(self.lease)
            .take(layout.window)
            .enumerate()
            .skip(from)
            .find(|(_, (_, record))| record.scope == cursor.scope);
        match found {
            Some((index, (at, _))) => {
                cursor.index = index;
                cursor.at = at;
                cursor.layout = self.buffer.layout();
                Stage::SpanLen
            }
            None => Stage::ScopeTail,
        }
    }

    fn next_record(&self, layout: &Layout, cursor: &mut BodyCursor) -> Stage {
        if cursor.layout != self.buffer.layout() {
            return self.enter_record(layout, cursor, cursor.index + 1);
        }
        let left = layout.window.saturating_sub(cursor.index);
        let found = self
            .buffer
            .positions_from(cursor.at, left)
            .enumerate()
            .skip(1)
            .find(|(_, (_, record))| record.scope == cursor.scope);
        match found {
            Some((step, (at, _))) => {
                cursor.index += step;
                cursor.at = at;
                Stage::SpanLen
            }
            None => Stage::ScopeTail,
        }
    }

    fn record(&self, layout: &Layout, cursor: &mut BodyCursor) -> Option<Record<'a>> {
        if cursor.layout != self.buffer.layout() {
            // A push moved the records together since the last chunk.
            self.enter_record(layout, cursor, cursor.index);
        }
        let (_, record) = self.buffer.positions_from(cursor.at, 1).next()?;
        Some(record)
    }

    /// Copies as many whole records as fit, in one walk. The cursor stands before a record, and then
    /// before the next one or at the end of the scope. The rest is copied piece by piece.
    fn copy_records(
        &self,
        layout: &Layout,
        cursor: &mut BodyCursor,
        target: Option<&mut [u8]>,
    ) -> usize {
        let mut free = target.unwrap_or_default();
        let mut written = 0;
        if cursor.layout != self.buffer.layout() {
            return 0;
        }
        let left = layout.window.saturating_sub(cursor.index);
        let records = self
            .buffer
            .positions_from(cursor.at, left)
            .enumerate()
            .filter(|(_, (_, record))| record.scope == cursor.scope);
        let first = cursor.index;
        for (step, (at, record)) in records {
            let len = field_len(record.body.len());
            let Some((piece, rest)) = core::mem::take(&mut free).split_at_mut_checked(len) else {
                cursor.index = first + step;
                cursor.at = at;
                return written;
            };
            put_span(piece, record.body);
            free = rest;
            written += len;
        }
        cursor.stage = Stage::ScopeTail;
        written
    }

    /// The lowest scope number in the window above `after`.
    fn next_scope(&self, layout: &Layout, after: Option<ScopeId>) -> Option<ScopeId> {
        if let Some((single, _)) = layout.single {
            return after.is_none().then_some(single);
        }
        self.window(layout.window)
            .map(|record| record.scope)
            .filter(|&scope| after.is_none_or(|after| scope > after))
            .min()
    }

    /// Bytes of the content of the `ScopeSpans` of `scope`.
    fn scope_spans_len(&self, layout: &Layout, scope: ScopeId) -> usize {
        if let Some((_, len)) = layout.single {
            return len;
        }
        let entry = self.entries.scope(scope);
        let spans: usize = self
            .window(layout.window)
            .filter(|record| record.scope == scope)
            .map(|record| field_len(record.body.len()))
            .sum();
        entry.head.len() + spans + entry.tail.len()
    }

    /// The scope of all records of the window, and the bytes of their fields.
    fn single_scope(&self, window: usize) -> Option<(ScopeId, usize)> {
        let mut records = self.window(window);
        let first = records.next()?;
        let mut spans = field_len(first.body.len());
        for record in records {
            if record.scope != first.scope {
                return None;
            }
            spans += field_len(record.body.len());
        }
        Some((first.scope, spans))
    }

    fn window(&self, window: usize) -> impl Iterator<Item = Record<'a>> {
        self.buffer
            .positions(self.lease)
            .take(window)
            .map(|(_, record)| record)
    }
}

/// Writes a span with its tag and length into a piece of exactly their size.
#[inline]
fn put_span(piece: &mut [u8], body: &[u8]) {
    let Some((start, target)) = piece.split_at_mut_checked(piece.len() - body.len()) else {
        return;
    };
    target.copy_from_slice(body);
    let len = body.len();
    match start {
        [field, one] => [*field, *one] = [tag(2, BYTES), len as u8],
        [field, one, two] => {
            [*field, *one, *two] = [tag(2, BYTES), len as u8 | 0x80, (len >> 7) as u8];
        }
        _ => {
            let mut small = [0; 11];
            let whole = header(&mut small, 2, len);
            if let Some(whole) = whole.get(..start.len()) {
                start.copy_from_slice(whole);
            }
        }
    }
}

/// Tag and length of a length-prefixed field.
fn header(small: &mut [u8; 11], field: u8, content: usize) -> &[u8] {
    let len = 1 + varint_len(content as u64);
    let mut writer = Writer::new(small);
    writer.put_byte(tag(field, BYTES));
    writer.put_varint(content as u64);
    small.get(..len).unwrap_or_default()
}
