//! Statement after statement: what each does to the session, and the jobs it asks for.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion_expr::{Expr, LogicalPlan};
use datafusion_sql::planner::{ParserOptions, SqlToRel};
use datafusion_sql::sqlparser::ast::{self, Ident, Query, SelectItem, SetExpr, Statement};
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::parser::Parser;
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use pelton_models::Format;

use super::catalog::{Catalog, Entry, Provider, View, config};
use super::ddl::{self, parse_all};
use super::define::unknown_column;
use super::errors::from_datafusion;
use super::functions::Functions;
use super::functions::outside::Function;
use super::learn::{self, LearnOptions, LearningDef};
use super::models::{ASKS, ModelDef};
use super::names::{self, Spelling};
use super::settings::{Settings, Volatile};
use super::text::{self, RawStatement, Source, is_word, span_of, span_of_tokens, starts_with};
use super::{Job, Outcome, Script, TableDef, Target, calls, legacy, model_time, plan, refuse, types};
use crate::connector::Registry;
use crate::error::{Error, Result, Span};

/// Reads text piece by piece and remembers what was created and set: the shell's view of [`super::parse_script`].
#[derive(Clone, Debug)]
pub struct Session {
    pub(super) registry: Registry,
    pub(super) settings: Settings,
    pub(super) catalog: Catalog,
    pub(super) functions: Functions,
    sets: usize,
}

/// A query that was parsed and planned.
struct Planned {
    plan: LogicalPlan,
    volatile: Option<(String, Span)>,
}

impl Session {
    /// A session without tables.
    pub fn new(registry: Registry) -> Self {
        let settings = Settings::default();
        let functions = Functions::new(settings.time_zone());
        Session { registry, settings, catalog: Catalog::default(), functions, sets: 0 }
    }

    /// A session whose settings win over `SET`.
    pub fn with_overrides(registry: Registry, overrides: &[(String, String)]) -> Result<Self> {
        let settings = Settings::with_overrides(overrides)?;
        let functions = Functions::new(settings.time_zone());
        Ok(Session { registry, settings, catalog: Catalog::default(), functions, sets: 0 })
    }

    /// What was set so far.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The tables there are, in order of creation.
    pub fn tables(&self) -> Vec<Arc<TableDef>> {
        self.catalog
            .iter()
            .filter_map(|entry| match entry {
                Entry::Table(def) => Some(def.clone()),
                Entry::View(_) => None,
            })
            .collect()
    }

    /// Adds a function of the embedding program, in the place of an earlier one of its name; fails if one of ours has it.
    pub fn register_function(&mut self, function: Arc<dyn Function>) -> Result<()> {
        self.functions.register(function)
    }

    /// Adds a model from the bytes of a file of XGBoost, LightGBM or ONNX, in the place of an earlier one of its name.
    pub fn register_model(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let what = Format::of_bytes(bytes).ok_or_else(|| {
            Error::user(format!("model `{name}`: these bytes are no file of XGBoost, LightGBM or ONNX")).hint(
                "models are read as save_model of XGBoost (.json, .ubj) and of LightGBM (.txt) write them, and as ONNX",
            )
        })?;
        self.functions.add_model(Arc::new(ModelDef::read(name, "it", bytes, what, None, None)?));
        Ok(())
    }

    /// Jobs of this session as a script of their own, with the tables that they read and write.
    pub fn script(&self, jobs: Vec<Job>) -> Script {
        let mut used: Vec<Arc<TableDef>> = vec![];
        for job in &jobs {
            used.extend(read_tables(&job.plan));
            used.extend(match &job.target {
                Target::Table(def) => Some(def.clone()),
                Target::Print => None,
            });
        }
        // Those that were created and not dropped, in their order; a job may still read one that has been replaced.
        let mut tables = self.tables();
        tables.retain(|def| used.iter().any(|u| Arc::ptr_eq(u, def)));
        for def in used {
            if !tables.iter().any(|t| Arc::ptr_eq(t, &def)) {
                tables.push(def);
            }
        }
        let volatile = jobs.iter().any(|job| job.volatile);
        Script { settings: self.settings.clone(), tables, jobs, volatile }
    }

    /// Runs the statements of a text, all or none: where one is wrong, the session stays as it was.
    pub fn run_whole(&mut self, text: &str) -> Result<Vec<Outcome>> {
        let mut after = self.clone();
        let outcomes = after.run(text)?;
        *self = after;
        Ok(outcomes)
    }

    /// Every name that completes a word: tables, views, their columns, functions.
    pub fn names(&self) -> Vec<String> {
        let mut out: HashSet<String> =
            self.functions.names().filter(|n| !n.starts_with('$')).map(str::to_uppercase).collect();
        for entry in self.catalog.iter() {
            out.insert(entry.name().to_string());
            out.extend(entry.fields().iter().map(|f| f.name().clone()));
        }
        let mut out: Vec<String> = out.into_iter().collect();
        out.sort_unstable();
        out
    }

    /// Runs the statements of a text, in order. What the statements before a wrong one did stays done.
    pub fn run(&mut self, text: &str) -> Result<Vec<Outcome>> {
        let source = Source::new(text);
        let tokens = text::tokenize(&source, &|name| std::env::var(name).ok())?;
        let mut outcomes = vec![];
        for statement in text::split(tokens)? {
            let span = statement.span;
            self.run_statement(statement, &source, &mut outcomes).map_err(|e| e.at(span))?;
        }
        Ok(outcomes)
    }

    fn run_statement(&mut self, statement: RawStatement, source: &Source, outcomes: &mut Vec<Outcome>) -> Result<()> {
        if let Some(members) = statement.members {
            self.sets += 1;
            let mut jobs = vec![];
            for tokens in members {
                let span = span_of_tokens(&tokens);
                if !starts_with(&tokens, &["INSERT"]) {
                    return Err(Error::user("a statement set holds INSERT statements only").at(span));
                }
                let mut job = self.insert(tokens, source).map_err(|e| e.at(span))?;
                job.explain = statement.explain;
                job.placement = statement.placement;
                job.set = self.sets;
                jobs.push(job);
            }
            outcomes.push(Outcome::Jobs(jobs));
            return Ok(());
        }
        let tokens = statement.tokens;
        let first = match &tokens[0].token {
            Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
            Token::LParen => "SELECT".into(),
            other => return Err(Error::user(format!("unexpected `{other}`")).at(span_of(tokens[0].span))),
        };
        match first.as_str() {
            "SELECT" | "WITH" | "VALUES" => outcomes.push(Outcome::Jobs(vec![self.select(tokens, source)?])),
            "INSERT" => outcomes.push(Outcome::Jobs(vec![self.insert(tokens, source)?])),
            "EXPLAIN" | "DESCRIBE" | "DESC" => {
                let mut skip = 1;
                if first != "EXPLAIN" {
                    return Err(
                        Error::user(format!("{first} is not supported yet")).hint("EXPLAIN shows the plan of a query")
                    );
                }
                let is_placement = tokens.get(skip).is_some_and(|t| is_word(t, "PLACEMENT"));
                while tokens.get(skip).is_some_and(|t| {
                    ["PLAN", "FOR", "PLACEMENT", "ESTIMATED_COST", "JSON_EXECUTION_PLAN"].iter().any(|w| is_word(t, w))
                        || t.token == Token::Comma
                }) {
                    skip += 1;
                }
                let inner = tokens[skip..].to_vec();
                let mut job = match inner.first() {
                    Some(t) if is_word(t, "INSERT") => self.insert(inner, source)?,
                    Some(_) => self.select(inner, source)?,
                    None => return Err(Error::user("EXPLAIN needs a query")),
                };
                job.explain = true;
                job.placement = is_placement;
                outcomes.push(Outcome::Jobs(vec![job]));
            }
            "CREATE" => self.create(tokens, source, outcomes)?,
            "DROP" => outcomes.push(self.drop(&tokens)?),
            "SET" => outcomes.push(self.set(&tokens)?),
            "RESET" => {
                let key = self.key_text(&tokens[1..]);
                self.settings.reset(key.as_deref())?;
                self.functions = self.functions.in_zone(self.settings.time_zone());
                outcomes.push(Outcome::Set { key: key.unwrap_or_default(), value: None });
            }
            "UPDATE" | "DELETE" | "MERGE" | "ALTER" | "USE" | "SHOW" | "CALL" | "ANALYZE" | "TRUNCATE" | "LOAD"
            | "UNLOAD" | "ADD" | "REMOVE" | "COMPILE" | "EXECUTE" | "BEGIN" | "END" | "STATEMENT" => {
                return Err(Error::user(format!("{first} is not supported")).at(span_of(tokens[0].span)));
            }
            _ => {
                const STARTS: &[&str] = &[
                    "SELECT", "WITH", "VALUES", "INSERT", "CREATE", "DROP", "SET", "RESET", "EXPLAIN", "EXECUTE",
                    "BEGIN",
                ];
                let error =
                    Error::user(format!("no statement begins with `{}`", tokens[0].token)).at(span_of(tokens[0].span));
                return Err(match Error::suggest(&first, STARTS.iter().copied()) {
                    Some(near) => error.hint(format!("did you mean {near}?")),
                    None => error.hint("statements begin with CREATE, INSERT, SELECT, SET, EXPLAIN, DROP, …"),
                });
            }
        }
        Ok(())
    }

    fn create(&mut self, tokens: Vec<TokenWithSpan>, source: &Source, outcomes: &mut Vec<Outcome>) -> Result<()> {
        let word = |i: usize| match tokens.get(i).map(|t| &t.token) {
            Some(Token::Word(word)) => word.value.to_ascii_uppercase(),
            _ => String::new(),
        };
        let at = if matches!(word(1).as_str(), "TEMPORARY" | "TEMP") { 2 } else { 1 };
        match word(at).as_str() {
            "TABLE" => self.create_table(tokens, source, outcomes),
            "VIEW" => self.create_view(tokens, outcomes),
            "MODEL" => self.create_model(&tokens, outcomes),
            "OR" => Err(Error::user("CREATE OR REPLACE is not supported")
                .at(span_of(tokens[at].span))
                .hint("DROP it first")),
            what => {
                let place = tokens.get(at).map_or(Span::default(), |t| span_of(t.span));
                Err(match what {
                    "FUNCTION" => Error::user("CREATE FUNCTION is not supported yet")
                        .hint("docs/sql.md lists the functions there are; COUNT_CHAR is one"),
                    "CATALOG" | "DATABASE" => Error::user(format!("CREATE {what} is not supported"))
                        .hint("there is one catalog; leave the statement out"),
                    "MATERIALIZED" => Error::user("CREATE MATERIALIZED is not supported")
                        .hint("CREATE TABLE … AS SELECT writes a result to a table"),
                    _ => Error::user("expected TABLE, VIEW or MODEL after CREATE"),
                }
                .at(place))
            }
        }
    }

    fn create_table(
        &mut self,
        mut tokens: Vec<TokenWithSpan>,
        source: &Source,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<()> {
        let span = span_of_tokens(&tokens);
        let query = ddl::position_of_as(&tokens).map(|at| {
            let query = tokens.split_off(at + 1);
            tokens.pop();
            query
        });
        let spelling = names::respell(&mut tokens, []);
        let ast = ddl::create_table(&tokens)?;
        if self.exists(&ast.name, ast.if_not_exists)? {
            outcomes.push(Outcome::Nothing);
            return Ok(());
        }
        let name = ast.name.value.clone();
        let Some(query) = query else {
            let def = self.define(&ast, &spelling, None, span)?;
            self.catalog.add(&name, Entry::Table(Arc::new(def)));
            outcomes.push(Outcome::Created(name));
            return Ok(());
        };
        if !ast.columns.is_empty() || ast.watermark.is_some() {
            return Err(Error::user("CREATE TABLE … AS takes its columns from the query")
                .at(span_of(ast.name.span))
                .hint("leave the list of columns out"));
        }
        let text = source.slice(span).to_string();
        let (planned, tokens) = self.plan_query(query, false)?;
        let fields: Vec<Arc<Field>> = planned.plan.schema().fields().iter().map(|f| Arc::new(plain_field(f))).collect();
        let def = Arc::new(self.define(&ast, &spelling, Some(Arc::new(Schema::new(fields))), span)?);
        let job = self.job(planned, Target::Table(def.clone()), None, &tokens, span, text)?;
        self.catalog.add(&name, Entry::Table(def));
        outcomes.push(Outcome::Created(name));
        outcomes.push(Outcome::Jobs(vec![job]));
        Ok(())
    }

    fn exists(&self, name: &Ident, if_not_exists: bool) -> Result<bool> {
        match self.catalog.get(&name.value) {
            None => Ok(false),
            Some(_) if if_not_exists => Ok(true),
            Some(entry) => {
                let what = if matches!(entry, Entry::Table(_)) { "table" } else { "view" };
                Err(Error::user(format!("there is a {what} `{}` already", entry.name())).at(span_of(name.span)))
            }
        }
    }

    fn create_view(&mut self, mut tokens: Vec<TokenWithSpan>, outcomes: &mut Vec<Outcome>) -> Result<()> {
        let head = ddl::create_view(&tokens)?;
        if self.exists(&head.name, head.if_not_exists)? {
            outcomes.push(Outcome::Nothing);
            return Ok(());
        }
        let query = tokens.split_off(head.query);
        let (planned, _) = self.plan_query(query, false)?;
        let mut plan = planned.plan;
        if !head.columns.is_empty() {
            let have = plan.schema().fields().len();
            if have != head.columns.len() {
                let error = Error::user(format!("the view has {} names for {have} columns", head.columns.len()));
                return Err(error.at(span_of(head.name.span)));
            }
            let columns =
                head.columns.iter().enumerate().map(|(i, c)| (plan::column(&plan, i), c.value.clone())).collect();
            plan = plan::project(plan, columns)?;
        }
        let name = head.name.value;
        self.catalog.add(&name, Entry::View(Arc::new(View { name: name.clone(), plan, volatile: planned.volatile })));
        outcomes.push(Outcome::Created(name));
        Ok(())
    }

    fn create_model(&mut self, tokens: &[TokenWithSpan], outcomes: &mut Vec<Outcome>) -> Result<()> {
        let head = ddl::create_model(tokens)?;
        let (name, place) = (head.name.value.clone(), span_of(head.name.span));
        if self.functions.model(&name).is_some() || self.functions.learning(&name).is_some() {
            if head.if_not_exists {
                outcomes.push(Outcome::Nothing);
                return Ok(());
            }
            return Err(Error::user(format!("there is a model `{name}` already")).at(place));
        }
        match LearnOptions::are_in(&head) {
            true => {
                let def = self.learning(head).map_err(|e| e.at(place))?;
                self.functions.add_learning(Arc::new(def));
            }
            false => {
                let def = ModelDef::open(head, &self.registry).map_err(|e| e.at(place))?;
                self.functions.add_model(Arc::new(def));
            }
        }
        outcomes.push(Outcome::Created(name));
        Ok(())
    }

    /// A model that learns, over the table with its labels.
    fn learning(&self, head: ddl::CreateModel) -> Result<LearningDef> {
        let options = LearnOptions::of(&head)?;
        let Some(entry) = self.catalog.get(&options.table) else {
            return Err(options.wrong(self.catalog.unknown(&options.table)));
        };
        let text = format!("SELECT * FROM `{}`", entry.name().replace('`', "``"));
        let tokens = text::tokenize(&Source::new(&text), &|_| None)?;
        let (labels, _) = self.plan_query(tokens, false).map_err(|e| options.wrong(e))?;
        LearningDef::new(head, options, labels.plan)
    }

    fn drop(&mut self, tokens: &[TokenWithSpan]) -> Result<Outcome> {
        if tokens.iter().take(3).any(|t| is_word(t, "MODEL")) {
            let (name, if_exists) = parse_all(tokens, |p: &mut Parser| {
                p.expect_keyword(Keyword::DROP)?;
                let _ = p.parse_one_of_keywords(&[Keyword::TEMPORARY, Keyword::TEMP]);
                p.next_token();
                let if_exists = p.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
                Ok((p.parse_identifier()?, if_exists))
            })?;
            return match self.functions.remove_model(&name.value) {
                true => Ok(Outcome::Dropped(name.value)),
                false if if_exists => Ok(Outcome::Nothing),
                false => Err(self.functions.no_model(&name.value).at(span_of(name.span))),
            };
        }
        let (name, view, if_exists) = parse_all(tokens, |p: &mut Parser| {
            p.expect_keyword(Keyword::DROP)?;
            let _ = p.parse_one_of_keywords(&[Keyword::TEMPORARY, Keyword::TEMP]);
            let view = p.expect_one_of_keywords(&[Keyword::TABLE, Keyword::VIEW])? == Keyword::VIEW;
            let if_exists = p.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
            Ok((p.parse_identifier()?, view, if_exists))
        })?;
        match self.catalog.get(&name.value) {
            Some(Entry::Table(_)) if view => {
                Err(Error::user(format!("`{}` is a table", name.value)).at(span_of(name.span)).hint("DROP TABLE"))
            }
            Some(Entry::View(_)) if !view => {
                Err(Error::user(format!("`{}` is a view", name.value)).at(span_of(name.span)).hint("DROP VIEW"))
            }
            Some(_) => {
                self.catalog.remove(&name.value);
                Ok(Outcome::Dropped(name.value))
            }
            None if if_exists => Ok(Outcome::Nothing),
            None => Err(self.catalog.unknown(&name.value).at(span_of(name.span))),
        }
    }

    fn key_text(&self, tokens: &[TokenWithSpan]) -> Option<String> {
        match tokens {
            [] => None,
            [TokenWithSpan { token: Token::SingleQuotedString(text), .. }] => Some(text.clone()),
            tokens => {
                // Bare words: `pelton.batch.rows-max`, `10 s`. Tokens that touch in the text stay together.
                let mut text = String::new();
                for (i, token) in tokens.iter().enumerate() {
                    if i > 0 && tokens[i - 1].span != token.span && tokens[i - 1].span.end != token.span.start {
                        text.push(' ');
                    }
                    match &token.token {
                        Token::Word(word) => text.push_str(&word.value),
                        other => text.push_str(&other.to_string()),
                    }
                }
                Some(text)
            }
        }
    }

    fn set(&mut self, tokens: &[TokenWithSpan]) -> Result<Outcome> {
        let Some(eq) = tokens.iter().position(|t| t.token == Token::Eq) else {
            return Err(Error::user("SET wants a key and a value").hint("SET 'pelton.time-zone' = 'Europe/Vienna'"));
        };
        let (Some(key), Some(value)) = (self.key_text(&tokens[1..eq]), self.key_text(&tokens[eq + 1..])) else {
            return Err(Error::user("SET wants a key and a value").hint("SET 'pelton.time-zone' = 'Europe/Vienna'"));
        };
        let place = if self.settings.get(&key).is_some() {
            span_of_tokens(&tokens[eq + 1..])
        } else {
            span_of_tokens(&tokens[1..])
        };
        self.settings.set(&key, &value).map_err(|e| e.at(place))?;
        if self.functions.zone != self.settings.time_zone() {
            self.functions = self.functions.in_zone(self.settings.time_zone());
        }
        Ok(Outcome::Set { key, value: Some(value) })
    }

    fn select(&self, tokens: Vec<TokenWithSpan>, source: &Source) -> Result<Job> {
        let span = span_of_tokens(&tokens);
        let text = source.slice(span).to_string();
        let (planned, tokens) = self.plan_query(tokens, false)?;
        self.job(planned, Target::Print, None, &tokens, span, text)
    }

    fn insert(&self, mut tokens: Vec<TokenWithSpan>, source: &Source) -> Result<Job> {
        let span = span_of_tokens(&tokens);
        let text = source.slice(span).to_string();
        let head = ddl::insert(&tokens)?;
        let place = span_of(head.name.span);
        let def = match self.catalog.get(&head.name.value) {
            Some(Entry::Table(def)) => def.clone(),
            Some(Entry::View(_)) => {
                return Err(Error::user(format!("`{}` is a view, rows go to tables only", head.name.value)).at(place));
            }
            None => return Err(self.catalog.unknown(&head.name.value).at(place)),
        };
        let query = tokens.split_off(head.query);
        let (planned, tokens) = self.plan_query(query, true)?;
        self.job(planned, Target::Table(def), Some(&head), &tokens, span, text)
    }

    /// Parses and plans a query; also answers its tokens. `by_position`: the names of the result do not matter.
    fn plan_query(&self, mut tokens: Vec<TokenWithSpan>, by_position: bool) -> Result<(Planned, Vec<TokenWithSpan>)> {
        let known = self.catalog.names_for(&names::words(&tokens));
        let spelling = names::respell(&mut tokens, known);
        let mut query = parse_all(&tokens, |p| p.parse_query())?;
        let mut written = written_names(&query, &spelling);
        name_results(&mut query, by_position);
        legacy::rewrite(&mut query)?;
        let found = refuse::check(&query, &self.functions)?;
        calls::rewrite(&mut query)?;
        let provider = Provider::new(&self.catalog, &self.functions, &spelling);
        let options = config(&self.functions);
        let planner = SqlToRel::new_with_options(&provider, ParserOptions::from(&options.sql_parser));
        let plan = planner
            .sql_statement_to_plan(Statement::Query(query))
            .map_err(|e| text::place(provider.error(e), &tokens))?;
        let plan = model_time::give(plan).map_err(|e| text::place(e, &tokens))?;
        let plan = plan::analyze(plan, &options).map_err(|e| text::place(e, &tokens))?;
        let asks = tokens.iter().find(|token| ASKS.iter().any(|word| is_word(token, word)));
        let plan = learn::place(plan, asks.map_or(span_of_tokens(&tokens), |token| span_of(token.span)))?;

        // The names of the result, as the user wrote them.
        let columns: Vec<(Expr, String)> = (0..plan.schema().fields().len())
            .map(|i| {
                let name = plan.schema().field(i).name();
                let name = written
                    .iter()
                    .position(|(seen, _)| seen == name)
                    .map_or_else(|| name.clone(), |at| written.swap_remove(at).1);
                (plan::column(&plan, i), name)
            })
            .collect();
        let plan = plan::project(plan, columns)?;
        let words = names::words(&tokens);
        let in_view = self.catalog.iter().find_map(|entry| match entry {
            Entry::View(view) if words.contains(&view.name.to_lowercase()) => view.volatile.clone(),
            _ => None,
        });
        Ok((Planned { plan, volatile: found.volatile.or(in_view) }, tokens))
    }

    fn job(
        &self,
        planned: Planned,
        target: Target,
        head: Option<&ddl::Head>,
        tokens: &[TokenWithSpan],
        span: Span,
        text: String,
    ) -> Result<Job> {
        let Planned { mut plan, volatile } = planned;
        if let Target::Table(def) = &target {
            plan = self.fit(plan, def, head, span)?;
        }
        let plan = plan::optimize(plan, &config(&self.functions)).map_err(|e| text::place(e, tokens).at(span))?;
        let joins = text::joins(tokens);
        plan::check_joins(&plan).map_err(|e| e.at(joins.first().copied().unwrap_or(span)))?;
        let is_volatile = volatile.is_some() || plan::is_volatile(&plan);
        if is_volatile
            && self.settings.volatile() == Volatile::Refuse
            && (matches!(target, Target::Table(_)) || reads_stream(&plan))
        {
            let (name, place) = volatile.unwrap_or(("a volatile function".into(), span));
            return Err(volatile_error(&name).at(place));
        }
        let line_starts = Source::new(&text);
        let joins = joins
            .into_iter()
            .map(|place| {
                let shift = |line: u64, column: u64| {
                    (line + 1 - span.line, if line == span.line { column + 1 - span.column } else { column })
                };
                let ((line, column), (end_line, end_column)) =
                    (shift(place.line, place.column), shift(place.end_line, place.end_column));
                (place, line_starts.slice(Span { line, column, end_line, end_column }).to_string())
            })
            .collect();
        Ok(Job {
            target,
            plan,
            span,
            text,
            explain: false,
            placement: false,
            volatile: is_volatile,
            set: 0,
            joins,
            group_by_span: text::clause(tokens, Keyword::GROUP, Keyword::BY),
            order_by_span: text::clause(tokens, Keyword::ORDER, Keyword::BY),
            over_span: tokens.iter().find(|t| is_word(t, "OVER")).map(|t| span_of(t.span)),
        })
    }

    /// Puts the columns of a query into the order and the types of a table's physical columns.
    fn fit(&self, plan: LogicalPlan, def: &TableDef, head: Option<&ddl::Head>, span: Span) -> Result<LogicalPlan> {
        let utc = self.functions.zone == chrono_tz::UTC;
        let target = &def.table.schema;
        let listed: Vec<usize> = match head.filter(|h| !h.columns.is_empty()) {
            None => (0..target.fields().len()).collect(),
            Some(head) => {
                let mut listed = vec![];
                for name in &head.columns {
                    let place = span_of(name.span);
                    let Some(at) = target.fields().iter().position(|f| f.name().eq_ignore_ascii_case(&name.value))
                    else {
                        return Err(match def.columns.iter().find(|c| c.name.eq_ignore_ascii_case(&name.value)) {
                            Some(c) => {
                                Error::user(format!("`{}` is computed or metadata, it cannot be written", c.name))
                            }
                            None => unknown_column(&name.value, &def.columns),
                        }
                        .at(place));
                    };
                    if listed.contains(&at) {
                        return Err(Error::user(format!("`{}` is listed twice", name.value)).at(place));
                    }
                    listed.push(at);
                }
                listed
            }
        };
        let have = plan.schema().fields().len();
        if have != listed.len() {
            let wanted: Vec<&str> = listed.iter().map(|i| target.field(*i).name().as_str()).collect();
            let error =
                Error::user(format!("the query has {have} columns, table `{}` wants {}", def.table.name, listed.len()))
                    .at(span);
            return Err(error.hint(format!("wanted: {}; given: {}", wanted.join(", "), plan::describe(plan.schema()))));
        }
        let mut columns = vec![];
        for (i, field) in target.fields().iter().enumerate() {
            let expr = match listed.iter().position(|l| *l == i) {
                Some(at) => {
                    let given = plan.schema().field(at);
                    let fits = types::fits(given.data_type(), field.data_type(), utc)
                        || plan::literals_fit(&plan, at, field.data_type(), &config(&self.functions));
                    if !fits {
                        let (from, to) = (types::name(given.data_type()), types::name(field.data_type()));
                        return Err(Error::user(format!(
                            "column `{}` of table `{}` is {to}, but the query gives {from}",
                            field.name(),
                            def.table.name
                        ))
                        .hint(format!("CAST({} AS {to})", given.name())));
                    }
                    plan::as_type(plan::column(&plan, at), given.data_type(), field.data_type())
                }
                None if !field.is_nullable() => {
                    return Err(Error::user(format!(
                        "column `{}` of table `{}` is NOT NULL and must be given",
                        field.name(),
                        def.table.name
                    )));
                }
                None => Expr::Literal(
                    datafusion_common::ScalarValue::try_from(field.data_type()).map_err(from_datafusion)?,
                    None,
                ),
            };
            columns.push((expr, field.name().clone()));
        }
        plan::project(plan, columns)
    }
}

/// The error for a volatile function.
pub fn volatile_error(name: &str) -> Error {
    Error::user(format!("{} changes from call to call, so the result could not be repeated", name.to_uppercase()))
        .hint("SET 'pelton.volatile' = 'allow' if that is meant; the digest then says so")
}

/// A field of a result as a column of a table: dictionaries and views as plain strings.
fn plain_field(field: &Field) -> Field {
    let data_type = match field.data_type() {
        DataType::Dictionary(_, value) => value.as_ref().clone(),
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        other => types::kept(other),
    };
    Field::new(field.name(), data_type, field.is_nullable())
}

impl Job {
    /// True if all that it reads ends by itself.
    pub fn is_bounded(&self) -> bool {
        read_tables(&self.plan).iter().all(|def| def.bounded)
    }
}

/// The tables that a plan reads.
fn read_tables(plan: &LogicalPlan) -> Vec<Arc<TableDef>> {
    use datafusion_common::tree_node::TreeNodeRecursion;
    let mut found = vec![];
    let walked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(table) = super::PeltonTable::of(&scan.source)
        {
            found.push(table.def.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.expect("the closure never fails");
    found
}

fn reads_stream(plan: &LogicalPlan) -> bool {
    use datafusion_common::tree_node::TreeNode;
    plan.exists(|node| {
        Ok(matches!(node, LogicalPlan::TableScan(scan) if super::PeltonTable::of(&scan.source).is_some_and(|t| !t.def.bounded)))
    })
    .unwrap_or(true)
}

/// The aliases of the result's columns: as respelt, and as written.
fn written_names(query: &Query, spelling: &Spelling) -> Vec<(String, String)> {
    let mut body = query.body.as_ref();
    loop {
        body = match body {
            SetExpr::SetOperation { left, .. } => left,
            SetExpr::Query(inner) => &inner.body,
            SetExpr::Select(select) => {
                return select
                    .projection
                    .iter()
                    .filter_map(|item| match item {
                        SelectItem::ExprWithAlias { alias, .. } => {
                            Some((alias.value.clone(), spelling.written(alias.span, &alias.value).to_string()))
                        }
                        _ => None,
                    })
                    .filter(|(seen, written)| seen != written)
                    .collect();
            }
            _ => return vec![],
        };
    }
}

/// Names the columns of a result that have no name of their own after their text, each differently; DataFusion would
/// call `SUM(x)` and `SUM(CAST(x AS REAL))` the same. An `INSERT` goes by position, so there even two equal columns may stand.
fn name_results(query: &mut Query, by_position: bool) {
    let mut body = query.body.as_mut();
    let select = loop {
        body = match body {
            SetExpr::SetOperation { left, .. } => left,
            SetExpr::Query(inner) => inner.body.as_mut(),
            SetExpr::Select(select) => break select,
            _ => return,
        };
    };
    let mut seen = HashSet::new();
    for (i, item) in select.projection.iter_mut().enumerate() {
        let (expr, name, plain) = match &*item {
            SelectItem::UnnamedExpr(expr @ ast::Expr::Identifier(ident)) => (expr, ident.value.clone(), true),
            SelectItem::UnnamedExpr(expr @ ast::Expr::CompoundIdentifier(parts)) => {
                (expr, parts.last().map_or(String::new(), |p| p.value.clone()), true)
            }
            SelectItem::UnnamedExpr(expr) => (expr, expr.to_string(), is_group_bound(expr)),
            SelectItem::ExprWithAlias { expr, alias } => (expr, alias.value.clone(), true),
            _ => continue,
        };
        let new = if seen.insert(name.to_lowercase()) {
            if plain {
                continue;
            }
            name
        } else if by_position {
            format!("$column_{i}")
        } else if plain {
            continue;
        } else {
            (2..)
                .map(|n| format!("{name}:{n}"))
                .find(|n| seen.insert(n.to_lowercase()))
                .expect("there is no end of numbers")
        };
        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::new(new) };
    }
}

/// True for `TUMBLE_START(…)` and its like, which become columns with names of their own.
fn is_group_bound(expr: &ast::Expr) -> bool {
    let ast::Expr::Function(function) = expr else { return false };
    let name = super::dialect::call_name(function);
    name.rsplit_once('_').is_some_and(|(kind, bound)| {
        super::window::WINDOW_FUNCTIONS.contains(&kind) && ["start", "end", "rowtime"].contains(&bound)
    })
}
