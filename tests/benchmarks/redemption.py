"""Which coupons households redeem: rankings of each campaign of Complete Journey, as its first day knew the world.

    python tests/benchmarks/redemption.py [CAMPAIGN …]

Prints NDCG@10 of every ranking for each campaign, then, for the campaigns named (null: 8 and 13) together and for all
others together, the difference to each baseline with its paired 95% interval. Weights are learned for each campaign
from the campaigns before it.
"""

import sys

import duckdb

from flows.demo.campaigns import read_campaigns
from flows.demo.data import LOCAL_TIME, PURCHASES_SQL, complete_journey, read_items
from flows.redemptions import Facts, make_trials, per_customer, summary
from recsys.tables import PURCHASES, conform

SEED = 1


def facts() -> Facts:
    folder = complete_journey()
    with duckdb.connect(config={"threads": 1}) as database:
        database.execute("set TimeZone = 'UTC'")
        database.execute(f"create view transactions as from '{folder}/transactions.parquet' where quantity > 0")
        database.execute(f"create view products as from '{folder}/products.parquet'")
        purchases = conform(database.sql(PURCHASES_SQL).to_arrow_table(), PURCHASES)
        return Facts(purchases, read_items(database), **read_campaigns(database, folder, local_time=LOCAL_TIME))


def main(named: list[str]) -> None:
    trials = make_trials(facts())
    values = {trial.campaign_id: per_customer(trial, trials) for trial in trials}
    rankings = [name for name, measure in next(iter(values.values())) if measure == "ndcg@10"]
    print(f"{'campaign':>10} {'starts':>10} {'offers':>7} {'people':>7}", *(f"{name:>16}" for name in rankings))
    for trial in trials:
        found = values[trial.campaign_id]
        figures = [f"{found[name, 'ndcg@10'].mean():16.4f}" for name in rankings]
        people, offers = trial.redeemed_at.shape
        print(f"{trial.campaign_id:>10} {trial.starts_at:%Y-%m-%d} {offers:7} {people:7}", *figures)
    groups = {
        f"campaigns {' and '.join(named)} together": named,
        "all others": [name for name in values if name not in named],
    }
    for title, group in groups.items():
        result = summary([values[name] for name in group], SEED)
        means = {row["model"]: row for row in result["rows"] if row["metric"] == "ndcg@10"}
        print(f"\n{title}: {means[rankings[0]]['customers']} households")
        for name, row in means.items():
            print(f"  {name:>16} {row['mean']:.4f}  {row['low']:.4f} to {row['high']:.4f}")
        for row in (row for row in result["differences"] if row["metric"] == "ndcg@10"):
            against = means[row["against"]]["mean"]
            gain = f"{row['mean']:+.4f} ({row['mean'] / against:+.1%}), {row['low']:+.4f} to {row['high']:+.4f}"
            print(f"  {row['model']} − {row['against']}: {gain}")


if __name__ == "__main__":
    main([f"coupons-{int(number):02}" for number in sys.argv[1:] or ("8", "13")])
